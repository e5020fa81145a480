//go:build cluster

package postgres

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ticketproxy/hint"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

// startPooler starts pgbouncer in transaction mode before the server, for postgres and other
// users, and returns its address.
func (s *server) startPooler(t *testing.T, others ...string) string {
	t.Helper()
	port := freePort(t)
	users, config := filepath.Join(s.dir, "users"), filepath.Join(s.dir, "pgbouncer.ini")
	text := "[databases]\n* = host=127.0.0.1 port=" + s.port + "\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = " + port +
		"\nunix_socket_dir = \nauth_type = trust\nauth_file = " + users + "\npool_mode = transaction\ndefault_pool_size = 2\n"
	list := ""
	for _, user := range append(others, "postgres") {
		list += quoted(user) + " \"\"\n"
	}
	for path, text := range map[string]string{users: list, config: text} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/usr/sbin/pgbouncer", "-q", config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: s.user}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting pgbouncer: %v", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	address := "127.0.0.1:" + port
	d := s.open(t, "postgres", "", address)
	for end := time.Now().Add(10 * time.Second); ; {
		if _, _, err := d.Account("none").Load(t.Context()); !errors.Is(err, tokens.ErrUnavailable) {
			return address
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// TestServerPooler tests the contract through pgbouncer in transaction mode, which lets no
// notification through.
func TestServerPooler(t *testing.T) {
	s := startServer(t)
	address := s.startPooler(t)
	t.Run("contract", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) (a, b tokens.Store) {
			schema := strings.ReplaceAll(t.Name(), "/", " ")
			schema = schema[max(0, len(schema)-60):]
			s.psql(t, "CREATE SCHEMA "+quoted(schema))
			return s.open(t, "postgres", schema, address).Account("park"), s.open(t, "postgres", schema, address).Account("park")
		})
	})
	d := s.open(t, "postgres", "", address)
	if proved, err := d.Probe(t.Context()); err != nil || !strings.Contains(proved, "notifications do not arrive") {
		t.Errorf("Probe: %q, %v", proved, err)
	}
	d.watch.echo = time.Second
	if _, err := d.watch.listen(t.Context()); !errors.Is(err, errSilent) {
		t.Errorf("listening: %v", err)
	}
	// What the watch does then tells of a change.
	told := make(chan string, 10)
	d.watch.subscribers = map[topic]*subscriber{{stateChannel, "park"}: {told: func(value string) { told <- value }}}
	version := storetest.MustSwap(t, s.open(t, "postgres", "", address).Account("park"), "", storetest.Record(1))
	if err := d.session(t.Context(), d.watch.read); err != nil {
		t.Fatal(err)
	}
	if got := <-told; got != string(version) {
		t.Errorf("told of %q, want %q", got, version)
	}
}

// TestServerNotifies tests what refreshers and readers are told by a real server, also after
// it was killed.
func TestServerNotifies(t *testing.T) {
	s := startServer(t)
	open := func() *Database { return s.open(t, "postgres", "", s.addr()) }
	mine, theirs, reader := open(), open().Account("park"), open().Access("park")
	changed, access, refused := make(chan bool, 100), make(chan bool, 100), make(chan uint64, 100)
	mine.Account("park").Notify(func() { changed <- true })
	mine.Account("park").NotifyRefused(func(generation uint64) { refused <- generation })
	reader.Notify(func() { access <- true })
	version := storetest.MustSwap(t, theirs, "", storetest.Record(1))
	<-changed
	<-access
	if r, err := reader.LoadAccess(t.Context()); err != nil || r.Generation != 1 || r.Grant.AccessToken.Reveal() != "access-1" ||
		!r.Grant.RefreshToken.IsZero() {
		t.Errorf("access %+v, %v", r, err)
	}
	for _, generation := range []uint64{1, 1, 2} {
		if err := reader.Refuse(t.Context(), generation); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-refused; got != 1 || len(refused) != 0 {
		t.Errorf("generation %d was refused, and %d more", got, len(refused))
	}
	s.kill(t)
	s.start(t)
	version = storetest.MustSwap(t, theirs, version, storetest.Record(2))
	<-changed
	<-access
	intent := storetest.Record(2)
	intent.Intent = &tokens.Intent{ID: "x"}
	storetest.MustSwap(t, theirs, version, intent)
	<-changed
	if len(changed)+len(access)+len(refused) != 0 {
		t.Errorf("told %d times more of the record, %d of the access token, %d of refusals", len(changed), len(access), len(refused))
	}
}

// TestServerRights tests which rights are needed, and that what is denied is told with its
// remedy.
func TestServerRights(t *testing.T) {
	s := startServer(t)
	s.psql(t, "CREATE ROLE refresher LOGIN; CREATE ROLE reader LOGIN")
	refresher, reader := s.open(t, "refresher", "", s.addr()), s.open(t, "reader", "", s.addr())
	names := refresher.names()
	if all, err := refresher.Accounts(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("Accounts without tables: %q, %v", all, err)
	}
	if _, err := refresher.Probe(t.Context()); err == nil || !strings.Contains(hint.Of(err), names.state.create(`"public".ticketproxy_state`)) {
		t.Errorf("Probe without tables: %v; hint %q", err, hint.Of(err))
	}
	park := refresher.Account("park")
	if _, err := park.Swap(t.Context(), "", storetest.Record(1)); err == nil || !strings.Contains(hint.Of(err), names.state.create(`"public".ticketproxy_state`)) {
		t.Errorf("Swap without tables: %v; hint %q", err, hint.Of(err))
	}
	s.psql(t, names.state.create(names.state.sql))
	if _, err := refresher.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "may not SELECT, INSERT, UPDATE on") {
		t.Errorf("Probe without rights: %v; hint %q", err, hint.Of(err))
	}
	if _, _, err := park.Load(t.Context()); err == nil || !strings.Contains(hint.Of(err), "GRANT SELECT") {
		t.Errorf("Load without rights: %v; hint %q", err, hint.Of(err))
	}
	if _, err := refresher.Accounts(t.Context()); err == nil || !strings.Contains(hint.Of(err), "GRANT SELECT") {
		t.Errorf("Accounts without rights: %v; hint %q", err, hint.Of(err))
	}
	s.psql(t, "GRANT SELECT, INSERT, UPDATE ON ticketproxy_state TO refresher")
	version := storetest.MustSwap(t, park, "", storetest.Record(1)) // without the table for readers
	storetest.MustSwap(t, refresher.Account("a"), "", storetest.Record(1))
	storetest.MustSwap(t, refresher.Account("Z"), "", storetest.Record(1))
	if all, err := refresher.Accounts(t.Context()); err != nil || strings.Join(all, " ") != "Z a park" {
		t.Errorf("Accounts: %q, %v", all, err)
	}
	if _, err := reader.Access("park").LoadAccess(t.Context()); !errors.Is(err, tokens.ErrNone) {
		t.Errorf("LoadAccess without a table: %v", err)
	}
	requireCopy := func(want string) {
		t.Helper()
		if found, err := refresher.ProbeCopy(t.Context()); err != nil || !strings.Contains(found, want) {
			t.Errorf("ProbeCopy: %q, %v, want %q", found, err, want)
		}
	}
	requireCopy("ticketproxy_access is not there; where there are readers, have an administrator of the database run: " +
		`CREATE TABLE IF NOT EXISTS "public".ticketproxy_access (`)
	s.psql(t, names.access.create(names.access.sql))
	requireCopy(`this user may not write to "public".ticketproxy_access; where there are readers, ` +
		`have an administrator of the database run: GRANT SELECT, INSERT, UPDATE ON "public".ticketproxy_access TO "refresher"`)
	s.psql(t, "GRANT SELECT, UPDATE ON ticketproxy_access TO refresher")
	requireCopy(`run: GRANT INSERT ON "public".ticketproxy_access TO "refresher"`)
	s.psql(t, "GRANT INSERT ON ticketproxy_access TO refresher; ALTER TABLE ticketproxy_access DROP COLUMN refused")
	requireCopy(`readers get no access tokens: table "public".ticketproxy_access is not as ticketproxy needs it: it has no column refused; have`)
	s.psql(t, "ALTER TABLE ticketproxy_access ADD COLUMN refused bigint NOT NULL DEFAULT 0")
	if proved, err := refresher.Probe(t.Context()); err != nil || !strings.HasSuffix(proved, "ticketproxy_state can be read and written to") {
		t.Errorf("Probe: %q, %v", proved, err)
	}
	requireCopy(`access tokens for readers are written to "public".ticketproxy_access`)
	storetest.MustSwap(t, park, version, storetest.Record(2))
	if _, err := reader.Access("park").LoadAccess(t.Context()); err == nil || !strings.Contains(hint.Of(err), "GRANT SELECT, UPDATE (refused)") {
		t.Errorf("LoadAccess without rights: %v; hint %q", err, hint.Of(err))
	}
	requireReader := func(wantErr, wantHint string) {
		t.Helper()
		if _, _, err := reader.ProbeReader(t.Context()); err == nil || !strings.Contains(err.Error(), wantErr) ||
			!strings.Contains(hint.Of(err), wantHint) {
			t.Errorf("ProbeReader: %v; hint %q", err, hint.Of(err))
		}
	}
	requireReader(`may not SELECT from "public".ticketproxy_access`, "GRANT SELECT, UPDATE (refused)")
	s.psql(t, "GRANT SELECT ON ticketproxy_access TO reader")
	if proved, warnings, err := reader.ProbeReader(t.Context()); err != nil || len(warnings) > 0 ||
		!strings.Contains(proved, `"public".ticketproxy_access can be read; this user may not UPDATE (refused)`) {
		t.Errorf("ProbeReader: %q, %q, %v", proved, warnings, err)
	}
	if err := reader.Access("park").Refuse(t.Context(), 2); err == nil ||
		!strings.HasSuffix(hint.Of(err), `run: GRANT UPDATE (refused) ON "public".ticketproxy_access TO "reader"`) {
		t.Errorf("Refuse without rights: %v; hint %q", err, hint.Of(err))
	}
	s.psql(t, "GRANT UPDATE (refused) ON ticketproxy_access TO reader")
	if proved, warnings, err := reader.ProbeReader(t.Context()); err != nil || len(warnings) > 0 ||
		!strings.HasSuffix(proved, "ticketproxy_access can be read") {
		t.Errorf("ProbeReader: %q, %q, %v", proved, warnings, err)
	}
	_, warnings, err := refresher.ProbeReader(t.Context())
	if text := strings.Join(warnings, "\n"); err != nil || len(warnings) != 3 ||
		!strings.Contains(text, `may read "public".ticketproxy_state, which has the refresh tokens`) ||
		!strings.Contains(text, `may write to "public".ticketproxy_state`) || !strings.Contains(text, "may put false access tokens") {
		t.Errorf("ProbeReader of a refresher: %q, %v", warnings, err)
	}
	s.psql(t, "CREATE SCHEMA closed; "+names.access.create("closed.ticketproxy_access"))
	if _, _, err := s.open(t, "reader", "closed", s.addr()).ProbeReader(t.Context()); err == nil ||
		!strings.Contains(hint.Of(err), `GRANT USAGE ON SCHEMA "closed" TO "reader"; GRANT SELECT`) {
		t.Errorf("ProbeReader of a closed schema: %v; hint %q", err, hint.Of(err))
	}
	if _, err := s.open(t, "reader", "closed", s.addr()).Access("park").LoadAccess(t.Context()); err == nil ||
		!strings.Contains(hint.Of(err), `GRANT USAGE ON SCHEMA "closed" TO "reader"; GRANT SELECT`) {
		t.Errorf("LoadAccess of a closed schema: %v; hint %q", err, hint.Of(err))
	}
	if _, _, err := s.open(t, "reader", "elsewhere", s.addr()).ProbeReader(t.Context()); err == nil ||
		!strings.Contains(err.Error(), `schema "elsewhere" does not exist`) {
		t.Errorf("ProbeReader without a schema: %v", err)
	}
	s.psql(t, "CREATE SCHEMA empty; GRANT USAGE ON SCHEMA empty TO reader")
	if _, _, err := s.open(t, "reader", "empty", s.addr()).ProbeReader(t.Context()); err == nil ||
		!strings.Contains(err.Error(), `table "empty".ticketproxy_access does not exist`) {
		t.Errorf("ProbeReader without a table: %v", err)
	}
	if r, err := reader.Access("park").LoadAccess(t.Context()); err != nil || r.Generation != 2 {
		t.Errorf("LoadAccess: generation %d, %v", r.Generation, err)
	}
	if err := reader.Access("park").Refuse(t.Context(), 2); err != nil {
		t.Errorf("Refuse: %v", err)
	}
	if got := s.psql(t, "SELECT refused FROM ticketproxy_access"); strings.TrimSpace(got) != "2" {
		t.Errorf("refused is %s", got)
	}
	if _, _, err := reader.Account("park").Load(t.Context()); err == nil || errors.Is(err, tokens.ErrNone) {
		t.Errorf("a reader reads the record: %v", err)
	}
	if _, err := reader.Account("park").Swap(t.Context(), "", storetest.Record(3)); err == nil || errors.Is(err, tokens.ErrConflict) {
		t.Errorf("a reader writes the record: %v", err)
	}
	// The default of the user is asynchronous, and other isolation levels conflict in their own way.
	s.psql(t, "ALTER ROLE refresher SET synchronous_commit = off; ALTER ROLE refresher SET default_transaction_isolation = serializable")
	storetest.MustSwap(t, park, storetest.MustLoad(t, park).Version, storetest.Record(4))
	s.psql(t, "ALTER SYSTEM SET fsync = off; ")
	s.psql(t, "SELECT pg_reload_conf()")
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if _, err := refresher.Probe(t.Context()); err != nil {
			if !strings.Contains(err.Error(), "fsync is off") {
				t.Errorf("Probe: %v", err)
			}
			return
		}
	}
	t.Error("Probe of a server without fsync: no error")
}
