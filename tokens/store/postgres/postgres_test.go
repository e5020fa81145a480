package postgres

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"ticketproxy/hint"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

// canary is the password. Output that contains it leaks it.
const canary = "canary-0123456789"

// requireNoCanary fails the test if an error shows the password.
func requireNoCanary(t *testing.T, err error) {
	t.Helper()
	if shown := fmt.Sprintf("%v %+v %#v %s", err, err, err, hint.Of(err)); strings.Contains(shown, canary) {
		t.Errorf("the password shows: %s", shown)
	}
}

// TestOpen tests which URLs are refused, and that no error shows them.
func TestOpen(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://me:" + canary + "@localhost/x":                                    "",
		"postgres://me:" + canary + "@db/x?sslmode=verify-full":                       "",
		"postgres:///x?host=/run/postgresql&user=me":                                  "",
		"postgres://me:" + canary + "@db/x":                                           "sslmode",
		"postgres://me:" + canary + "@db/x?sslmode=verify-ca":                         "sslmode",
		"postgres://me:" + canary + "@localhost,db/x?sslmode=prefer":                  "sslmode",
		"postgres://me:" + canary + "@db:x/x?sslmode=verify-full":                     "no URL",
		"postgres://me:" + canary + "@localhost/x?service=x":                          "no URL",
		"postgres://me:" + canary + "@localhost/x?options=-c%20fsync%3Doff":           "no URL",
		"postgres://me:" + canary + "@localhost/x?search_path=a,b":                    "one schema",
		"postgres://me:" + canary + "@db/x?sslmode=verify-full&sslrootcert=/none/x":   "/none/x",
		"postgres://me:" + canary + "@db/x?sslmode=verify-full&sslrootcert=/dev/null": `"/dev/null" of sslrootcert`,
	} {
		d, err := Open(url)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", url, err)
			} else if strings.Contains(d.String(), canary) {
				t.Errorf("%s shows the password", d)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || hint.Of(err) == "" {
			t.Errorf("%s: %v; hint %q", url, err, hint.Of(err))
		}
		requireNoCanary(t, err)
	}
}

// TestEnvironment tests that variables of libpq change neither the server nor the session,
// and that PGPASSFILE gives the password.
func TestEnvironment(t *testing.T) {
	file := t.TempDir() + "/pgpass"
	if err := os.WriteFile(file, []byte("db:5432:tickets:me:"+canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"PGHOST": "evil", "PGPORT": "1", "PGUSER": "evil", "PGDATABASE": "evil", "PGSSLMODE": "disable", "PGPASSFILE": file,
		"PGOPTIONS": "-c synchronous_commit=off", "PGAPPNAME": "evil", "PGTZ": "evil", "PGTARGETSESSIONATTRS": "any",
		"PGCONNECT_TIMEOUT": "abc", "PGREQUIREAUTH": "evil", "PGMINPROTOCOLVERSION": "9", "PGMAXPROTOCOLVERSION": "x",
		"PGCHANNELBINDING": "evil", "PGSSLCERTMODE": "evil", "PGSSLSNI": "0", "PGSSLNEGOTIATION": "evil",
		"PGSERVICEFILE": "/none",
	} {
		t.Setenv(name, value)
	}
	d, err := Open("postgres:///tickets?host=db&port=5432&user=me&sslmode=verify-full&application_name=x")
	if err != nil {
		t.Fatal(err)
	}
	c := d.config
	if c.Host != "db" || c.Port != 5432 || c.User != "me" || c.Database != "tickets" || c.TLSConfig == nil || len(c.Fallbacks) > 0 {
		t.Errorf("%s:%d %s %s, %d fallbacks", c.Host, c.Port, c.User, c.Database, len(c.Fallbacks))
	}
	if fmt.Sprint(c.RuntimeParams) != "map[application_name:x client_encoding:UTF8]" || c.ValidateConnect == nil {
		t.Errorf("session of %v", c.RuntimeParams)
	}
	if c.Password != canary {
		t.Error("PGPASSFILE is not used")
	}
	t.Setenv("PGSERVICE", "evil")
	if _, err := Open("postgres:///tickets?host=localhost&user=me"); err == nil || hint.Of(err) != "unset PGSERVICE" {
		t.Errorf("PGSERVICE: %v", err)
	}
}

// TestRenew tests that a changed password is used for the next connection, and that another
// place is refused.
func TestRenew(t *testing.T) {
	t.Parallel()
	const url = "postgres:///tickets?host=localhost&port=%d&user=%s&password=%s"
	d, err := Open(fmt.Sprintf(url, 1, "me", "old"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Renew(fmt.Sprintf(url, 1, "me", canary)); err != nil || d.renewed.Load().Password != canary {
		t.Errorf("another password: %v", err)
	}
	for _, other := range []string{
		fmt.Sprintf(url, 2, "me", "x"), fmt.Sprintf(url, 1, "you", "x"), fmt.Sprintf(url, 1, "me", "x&search_path=y"), "postgres://:x",
	} {
		if err := d.Renew(other); err == nil || hint.Of(err) == "" || d.renewed.Load().Password != canary {
			t.Errorf("%s: %v", other, err)
		}
	}
}

// TestOutcomes tests what a failed write says of what was done.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	const swap, plain, unknown = "WITH swapped", "plain", "unknown"
	for name, test := range map[string]struct {
		answer answer
		want   string
	}{
		"refused":                      {answer{text: swap, err: refusal("ERROR", "42501")}, plain},
		"canceled":                     {answer{text: swap, err: refusal("ERROR", "57014")}, plain},
		"disk full":                    {answer{text: swap, err: refusal("ERROR", "53100")}, plain},
		"refused at the commit":        {answer{text: swap, rows: [][]string{{"", "", ""}}, late: refusal("ERROR", "23505")}, plain},
		"shut down":                    {answer{text: swap, err: refusal("FATAL", "57P01")}, unknown},
		"shut down at the commit":      {answer{text: swap, rows: [][]string{{"", "", ""}}, late: refusal("FATAL", "57P01")}, unknown},
		"cut before the answer":        {answer{text: swap, err: &pgproto3.ErrorResponse{Severity: "FATAL"}, cut: true}, unknown},
		"cut before the commit's end":  {answer{text: swap, rows: [][]string{{"", "", ""}}, cut: true}, unknown},
		"a pooler has lost the server": {answer{text: swap, err: refusal("ERROR", "08P01")}, unknown},
		"cut before the write":         {answer{text: "to_regclass", cut: true}, plain},
		"shut down before the write":   {answer{text: "to_regclass", err: refusal("FATAL", "57P01")}, plain},
		"a wrong password":             {answer{text: "startup", err: refusal("FATAL", "28P01")}, plain},
		"starting up":                  {answer{text: "startup", err: refusal("FATAL", "57P03")}, plain},
		"a server in recovery":         {answer{text: "transaction_read_only", rows: [][]string{{"on"}}}, plain},
	} {
		f := startFake(t)
		f.set(test.answer)
		_, err := f.open(t).Account("park").Swap(t.Context(), "v", storetest.Record(2))
		got := plain
		if errors.Is(err, tokens.ErrUnknown) {
			got = unknown
		}
		if err == nil || got != test.want || errors.Is(err, tokens.ErrConflict) {
			t.Errorf("%s: %v, want it %s", name, err, test.want)
		}
		requireNoCanary(t, err)
	}
}

// TestAgain tests that a swap which the server rolled back for another transaction is done
// again.
func TestAgain(t *testing.T) {
	t.Parallel()
	for _, code := range []string{serializationFailure, deadlockDetected} {
		f := startFake(t)
		f.set(answer{text: "WITH swapped", err: refusal("ERROR", code)})
		done := make(chan error, 1)
		a := f.open(t).Account("park")
		go func() {
			_, err := a.Swap(t.Context(), "v", storetest.Record(2))
			done <- err
		}()
		f.await("WITH swapped", 2)
		f.set(answer{text: "WITH swapped", rows: [][]string{{"", "", ""}}})
		if err := <-done; err != nil {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// TestReads tests which failed reads may pass, and what helps against the others.
func TestReads(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer    answer
		available bool
		hint      string
	}{
		"starting up":      {answer{text: "startup", err: refusal("FATAL", "57P03")}, false, "can be reached"},
		"too many clients": {answer{text: "startup", err: refusal("FATAL", "53300")}, false, "can be reached"},
		"in recovery":      {answer{text: "transaction_read_only", rows: [][]string{{"on"}}}, false, "can be reached"},
		"cut":              {answer{text: "SELECT record", cut: true}, false, "can be reached"},
		"a wrong password": {answer{text: "startup", err: refusal("FATAL", "28P01")}, true, "PGPASSFILE"},
		"no right to connect": {
			answer{text: "startup", err: refusal("FATAL", "42501")}, true, `run: GRANT CONNECT ON DATABASE "tickets" TO "me"`,
		},
		"no such database":  {answer{text: "startup", err: refusal("FATAL", "3D000")}, true, `CREATE DATABASE "tickets"`},
		"permission denied": {answer{text: "SELECT record", err: refusal("ERROR", "42501")}, true, `run: GRANT SELECT ON "public".ticketproxy_state TO "me"`},
	} {
		f := startFake(t, looked("me", "public", "t", "t", "t", "1", "public", "SELECT", "f"))
		f.set(test.answer)
		_, _, err := f.open(t).Account("park").Load(t.Context())
		if err == nil || errors.Is(err, tokens.ErrUnavailable) == test.available || errors.Is(err, tokens.ErrNone) ||
			!strings.Contains(hint.Of(err), test.hint) {
			t.Errorf("%s: %v; hint %q", name, err, hint.Of(err))
		}
		requireNoCanary(t, err)
	}
}

// TestUnusableRecords tests what is advised for a record that is damaged, and for one that a
// newer version wrote.
func TestUnusableRecords(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	d := f.open(t)
	for _, test := range []struct {
		text    string
		damaged bool
		hint    string
	}{
		{`{}`, true, "delete that row and run: ticketproxy login park"},
		{`{"format": 99}`, false, "run that version here, and do not delete the row"},
	} {
		f.set(answer{text: "SELECT record", rows: [][]string{{test.text}}})
		_, version, err := d.Account("park").Load(t.Context())
		if errors.Is(err, tokens.ErrDamaged) != test.damaged || (version != "") != test.damaged ||
			!strings.Contains(hint.Of(err), test.hint) {
			t.Errorf("%s: version %q, %v; hint %q", test.text, version, err, hint.Of(err))
		}
		_, err = d.Access("park").LoadAccess(t.Context())
		if err == nil || strings.Contains(hint.Of(err), test.hint) == test.damaged {
			t.Errorf("%s, for a reader: %v; hint %q", test.text, err, hint.Of(err))
		}
	}
}

// TestServerDown tests that a write that was not sent is a plain failure.
func TestServerDown(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{addr: l.Addr().String()}
	l.Close()
	d := f.open(t)
	_, err = d.Account("park").Swap(t.Context(), "", storetest.Record(2))
	if err == nil || errors.Is(err, tokens.ErrUnknown) || errors.Is(err, tokens.ErrConflict) ||
		!strings.Contains(err.Error(), "connecting to database tickets at 127.0.0.1:") {
		t.Errorf("Swap: %v", err)
	}
	requireNoCanary(t, err)
	if _, _, err := d.Account("park").Load(t.Context()); !errors.Is(err, tokens.ErrUnavailable) || hint.Of(err) == "" {
		t.Errorf("Load: %v; hint %q", err, hint.Of(err))
	}
	if _, err := d.Probe(t.Context()); err == nil {
		t.Error("Probe of no server: no error")
	}
}

// TestRefusedTLS tests that the reason for which there is no connection stands alone.
func TestRefusedTLS(t *testing.T) {
	t.Parallel()
	const refused = "127.0.0.1:5432 (localhost): tls error: server refused TLS connection"
	for text, want := range map[string]string{refused + "\nx": "x", refused: refused} {
		if got := (&connectError{"db", errors.New(text)}).Error(); got != "connecting to db: "+want {
			t.Error(got)
		}
	}
}

// TestMissingTables tests that a table which does not exist is told of, with what creates it.
func TestMissingTables(t *testing.T) {
	t.Parallel()
	f := startFake(t, answer{text: "SELECT record", err: refusal("ERROR", undefinedTable)})
	a := f.open(t).Account("park")
	if _, _, err := a.Load(t.Context()); !errors.Is(err, tokens.ErrNone) {
		t.Errorf("Load: %v, want ErrNone", err)
	}
	f.set(looked("me", "public", "t", "t", "f", "", "", "", "f"))
	_, err := a.Swap(t.Context(), "", storetest.Record(1))
	if err == nil || errors.Is(err, tokens.ErrUnknown) || !strings.Contains(err.Error(), `table "public".ticketproxy_state does not exist`) ||
		!strings.Contains(hint.Of(err), `CREATE TABLE IF NOT EXISTS "public".ticketproxy_state (`) ||
		!strings.Contains(hint.Of(err), `GRANT SELECT, INSERT, UPDATE ON "public".ticketproxy_state, "public".ticketproxy_access TO "me"`) {
		t.Errorf("Swap: %v; hint %q", err, hint.Of(err))
	}
	f.set(looked("me", "public", "t", "t", "t", "", "", "", "f"))
	f.set(answer{text: "WITH swapped", rows: [][]string{{"", "", ""}}})
	if _, err := a.Swap(t.Context(), "", storetest.Record(1)); err != nil || f.count("CREATE TABLE") != 2 {
		t.Errorf("Swap: %v after %d tables were created", err, f.count("CREATE TABLE"))
	}
}

// TestWatch tests that an account is told of what others write, of what happened while the
// connection was broken, and of nothing else.
func TestWatch(t *testing.T) {
	t.Parallel()
	f := startFake(t, answer{text: "echo"})
	d := f.open(t)
	told, refused := make(chan struct{}, 100), make(chan uint64, 100)
	a := d.Account("park")
	a.Notify(func() { told <- struct{}{} })
	a.NotifyRefused(func(generation uint64) { refused <- generation })
	f.await("' ' || $1)", 1) // it listens
	a.seen("own")
	f.notify(stateChannel, "shop other")
	f.notify(stateChannel, "park own")
	f.notify(stateChannel, "park other")
	<-told
	reads := f.count("FROM ticketproxy_access")
	f.notify(refusedChannel, "park 6") // by whoever is in the database
	f.await("FROM ticketproxy_access", reads+1)
	f.set(answer{text: "FROM ticketproxy_access", rows: [][]string{{"park", "x", "7"}}})
	f.notify(refusedChannel, "")
	if got := <-refused; got != 7 {
		t.Errorf("generation %d was refused", got)
	}
	f.set(answer{text: "FROM ticketproxy_state", rows: [][]string{{"shop", "x"}, {"park", "meanwhile"}}})
	f.set(answer{text: "FROM ticketproxy_access", rows: [][]string{{"park", "x", "8"}}})
	f.closeAll()
	<-told
	if got := <-refused; got != 8 {
		t.Errorf("generation %d was refused", got)
	}
	f.set(answer{text: "FROM ticketproxy_state"})
	f.closeAll()
	<-told // the record is gone
	if len(told)+len(refused) != 0 {
		t.Errorf("told %d times more, refused %d times more", len(told), len(refused))
	}
}

// TestWatchOfPooler tests that a watch that gets no notifications ends its connection.
func TestWatchOfPooler(t *testing.T) {
	t.Parallel()
	f := startFake(t, answer{text: "LISTEN", err: refusal("ERROR", "0A000")})
	d := f.open(t)
	if _, err := d.watch.listen(t.Context()); !errors.Is(err, errSilent) {
		t.Errorf("LISTEN is refused: %v", err)
	}
	f = startFake(t)
	d = f.open(t)
	d.watch.echo = 50 * time.Millisecond
	if _, err := d.watch.listen(t.Context()); !errors.Is(err, errSilent) {
		t.Errorf("no notification arrives: %v", err)
	}
}

// TestASCII tests that a record says the same without characters that an encoding may lack.
func TestASCII(t *testing.T) {
	t.Parallel()
	if got := ascii([]byte("\"a\u00e9\u20ac\U0001f600\"")); got != `"a\u00e9\u20ac\ud83d\ude00"` {
		t.Errorf("ascii: %s", got)
	}
	w, err := newWrite(storetest.FullRecord())
	if err != nil {
		t.Fatal(err)
	}
	r, err := tokens.Decode([]byte(w.data))
	if err != nil || string(storetest.Encode(t, r)) != string(storetest.Encode(t, storetest.FullRecord())) {
		t.Errorf("%v\n%s", err, w.data)
	}
	if strings.Contains(w.access, "refresh") || strings.Contains(w.access, "seed") || strings.Contains(w.access, "fallback") {
		t.Errorf("readers get %s", w.access)
	}
}

// TestREADME tests that README has the statements of the hints.
func TestREADME(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	names := (&Database{config: settings{Config: &pgconn.Config{}}}).names()
	names.hasSchema, names.usage, names.user = true, true, "ticketproxy"
	reader := names
	reader.access.id, reader.user = "1", "ticketproxy_reader"
	for sql := range strings.SplitSeq(names.allow()+"; "+reader.allowReader(readerRights{}), "; ") {
		if !strings.Contains(string(readme), sql+";\n") {
			t.Errorf("README does not have %s", sql)
		}
	}
}
