//go:build cluster

package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ticketproxy/hint"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

// administratorRuns has the administrator run the SQL of a hint.
func (s *server) administratorRuns(t *testing.T, advice string) {
	t.Helper()
	_, sql, ok := strings.Cut(advice, "have an administrator of the database run: ")
	if !ok {
		t.Fatalf("the hint has no SQL: %q", advice)
	}
	s.psql(t, sql)
}

// A broken is a database in which something is wrong.
type broken struct {
	name string
	sql  string // which makes it so: %[1]s is the schema, %[2]s the user
	err  string // of Probe
	hint string // of Probe; "" for any
	swap bool   // a first swap fails, too
}

const createTables = "CREATE SCHEMA %[1]s; GRANT USAGE ON SCHEMA %[1]s TO %[2]s; " +
	"CREATE TABLE %[1]s.ticketproxy_state (account text PRIMARY KEY, record json NOT NULL, " +
	"updated_at timestamptz NOT NULL DEFAULT now()); " +
	"CREATE TABLE %[1]s.ticketproxy_access (account text PRIMARY KEY, generation bigint NOT NULL, record json NOT NULL, " +
	"refused bigint NOT NULL DEFAULT 0, updated_at timestamptz NOT NULL DEFAULT now()); " +
	"GRANT SELECT, INSERT, UPDATE ON %[1]s.ticketproxy_state, %[1]s.ticketproxy_access TO %[2]s; "

func brokenRights() []broken {
	const state, access = "%[1]s.ticketproxy_state", "%[1]s.ticketproxy_access"
	return []broken{
		{"no schema", "SELECT 1", "schema %[1]s does not exist", "search_path=SCHEMA", true},
		{"no table", "CREATE SCHEMA %[1]s; GRANT USAGE ON SCHEMA %[1]s TO %[2]s",
			"table " + state + " does not exist, and this user may not create it", "run: CREATE TABLE IF NOT EXISTS " + state, true},
		{"no right but to create", "CREATE SCHEMA %[1]s; GRANT CREATE ON SCHEMA %[1]s TO %[2]s",
			"may not use schema %[1]s", "run: GRANT USAGE ON SCHEMA %[1]s TO %[2]s", true},
		{"no right", "CREATE SCHEMA %[1]s", "may not use schema %[1]s", "run: GRANT USAGE ON SCHEMA %[1]s TO %[2]s; CREATE TABLE", true},
		{"USAGE was lost", createTables + "REVOKE USAGE ON SCHEMA %[1]s FROM %[2]s",
			"may not use schema %[1]s", "run: GRANT USAGE ON SCHEMA %[1]s TO %[2]s", true},
		{"SELECT was lost", createTables + "REVOKE SELECT ON " + state + " FROM %[2]s",
			"may not SELECT on " + state, "run: GRANT SELECT ON " + state + " TO %[2]s", true},
		{"two were lost", createTables + "REVOKE INSERT, UPDATE ON " + state + " FROM %[2]s",
			"may not INSERT, UPDATE on " + state, "run: GRANT INSERT, UPDATE ON " + state + " TO %[2]s", true},
		{"all was lost", createTables + "REVOKE ALL ON " + state + ", " + access + " FROM %[2]s",
			"may not SELECT, INSERT, UPDATE on " + state, "run: GRANT SELECT, INSERT, UPDATE ON " + state + " TO %[2]s", true},
		{"row-level security", createTables + "ALTER TABLE " + state + " ENABLE ROW LEVEL SECURITY",
			"row-level security", "run: CREATE POLICY ticketproxy ON " + state + " TO %[2]s", true},
		{"row-level security for readers", createTables + "ALTER TABLE " + access + " ENABLE ROW LEVEL SECURITY",
			"row-level security", "run: CREATE POLICY ticketproxy ON " + access + " TO %[2]s", true},
	}
}

func brokenShapes() []broken {
	const state, access = "%[1]s.ticketproxy_state", "%[1]s.ticketproxy_access"
	const inState, inAccess = createTables + "ALTER TABLE " + state + " ", createTables + "ALTER TABLE " + access + " "
	return []broken{
		{"no refused", inAccess + "DROP COLUMN refused", "table " + access + " is not as ticketproxy needs it: it has no column refused",
			"run: ALTER TABLE " + access + " ADD COLUMN refused bigint NOT NULL DEFAULT 0", false},
		{"no generation", inAccess + "DROP COLUMN generation", access + " is not as ticketproxy needs it: it has no column generation",
			"ADD COLUMN generation bigint NOT NULL DEFAULT 0", true},
		{"no updated_at", inAccess + "DROP COLUMN updated_at", "it has no column updated_at",
			"ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now()", true},
		{"three wrong columns", inAccess + "DROP COLUMN refused, DROP COLUMN updated_at, ALTER COLUMN generation TYPE text",
			"its column generation is of type text, not bigint; it has no column refused; it has no column updated_at",
			"ALTER COLUMN generation TYPE bigint USING generation::bigint, ADD COLUMN refused", true},
		{"records as text", inAccess + "ALTER COLUMN record TYPE text", "its column record is of type text, not json", "", false},
		{"refused is text", inAccess + "ALTER COLUMN refused TYPE text", "its column refused is of type text, not bigint",
			"ALTER COLUMN refused DROP DEFAULT, ALTER COLUMN refused TYPE bigint USING COALESCE(refused::bigint, 0)", false},
		{"refused has no default", inAccess + "ALTER COLUMN refused DROP DEFAULT, ALTER COLUMN refused DROP NOT NULL",
			"its column refused has no default", "SET DEFAULT 0", false},
		{"no key for readers", inAccess + "DROP CONSTRAINT ticketproxy_access_pkey",
			"table " + access + " is not as ticketproxy needs it: its column account is not unique", "ADD UNIQUE (account)", true},
		{"another column", inAccess + `ADD COLUMN "Owner" text NOT NULL`, `its column "Owner" needs a value`,
			`ALTER COLUMN "Owner" DROP NOT NULL`, true},
		{"another table for readers", "CREATE SCHEMA %[1]s; GRANT USAGE, CREATE ON SCHEMA %[1]s TO %[2]s; CREATE TABLE " + access +
			" (id int); GRANT ALL ON " + access + " TO %[2]s", "it has no column account; it has no column generation",
			"run: ALTER TABLE " + access + " RENAME TO ticketproxy_access_old", true},
		{"records are taken apart", inState + "ALTER COLUMN record TYPE jsonb", "table " + state +
			" is not as ticketproxy needs it: its column record is of type jsonb, not json", "TYPE json USING record::json", false},
		{"accounts are numbers", inState + "ALTER COLUMN account TYPE int USING 0", "its column account is of type integer, not text", "", true},
		{"no key", inState + "DROP CONSTRAINT ticketproxy_state_pkey", "its column account is not unique", "", true},
		{"no updated_at in the state", inState + "DROP COLUMN updated_at", state + " is not as ticketproxy needs it: it has no column updated_at", "", false},
		{"no record", inState + "DROP COLUMN record", "it has no column record",
			"RENAME TO ticketproxy_state_old; CREATE TABLE IF NOT EXISTS " + state, true},
		{"a view", createTables + "DROP TABLE " + state + "; CREATE VIEW " + state +
			" AS SELECT account, record, updated_at FROM " + access + "; GRANT ALL ON " + state + " TO %[2]s",
			state + " is not a table", "RENAME TO ticketproxy_state_old", true},
	}
}

// TestServerMended tests that check finds what is wrong with rights and tables, that a write
// says the same, and that the SQL of the hint mends it and is all that it takes.
func TestServerMended(t *testing.T) {
	s := startServer(t)
	all := append(brokenRights(), brokenShapes()...)
	var users []string
	for i := range all {
		users = append(users, fmt.Sprintf(`Some "user" %d`, i))
	}
	address := s.startPooler(t, users...)
	for i, b := range all {
		schema, user := fmt.Sprintf("State %d", i), users[i]
		expand := func(text string) string {
			return strings.NewReplacer("%[1]s", quoted(schema), "%[2]s", quoted(user)).Replace(text)
		}
		s.psql(t, "CREATE ROLE "+quoted(user)+" LOGIN")
		s.psql(t, expand(b.sql))
		at := s.addr()
		if i%12 == 1 { // a probe through the pooler takes seconds to see that it lets no notification through
			at = address
		}
		d := s.open(t, strings.ReplaceAll(strings.ReplaceAll(user, `"`, "%22"), " ", "%20"), schema, at)
		var told error // of the copies for readers, without which records are stored, too
		d.ReportCopies(func(err error, _ bool) { told = err })
		version := tokens.Version("")
		for try := 1; ; try++ {
			_, err := d.Probe(t.Context())
			if try == 1 && (err == nil || !strings.Contains(err.Error(), expand(b.err)) || !strings.Contains(hint.Of(err), expand(b.hint))) {
				t.Errorf("%s: Probe: %v; hint %q", b.name, err, hint.Of(err))
			}
			stored, swapped := d.Account("park").Swap(t.Context(), version, storetest.Record(uint64(try)))
			if swapped == nil {
				version, swapped = stored, told
			}
			if try == 1 && b.swap && (swapped == nil || errors.Is(swapped, tokens.ErrUnknown) || hint.Of(swapped) != hint.Of(err)) {
				t.Errorf("%s: Swap: %v; hint %q", b.name, swapped, hint.Of(swapped))
			}
			if err == nil && (swapped == nil || !b.swap) {
				if try < 2 {
					t.Errorf("%s: nothing was to be mended", b.name)
				}
				break
			}
			if err == nil { // what is wrong with the copies alone is no fault of the state
				err = swapped
			}
			if try > 2 && b.name != "all was lost" || try > 3 {
				t.Errorf("%s: not mended: %v; hint %q", b.name, err, hint.Of(err))
				break
			}
			s.administratorRuns(t, hint.Of(err))
		}
	}
}

// TestServerReaderMended tests that a reader's check, or else its read, says what is wrong, and
// that the SQL of the hint mends it.
func TestServerReaderMended(t *testing.T) {
	s := startServer(t)
	const access = "%[1]s.ticketproxy_access"
	for i, b := range []broken{
		{name: "USAGE was lost", sql: "REVOKE USAGE ON SCHEMA %[1]s FROM %[2]s", err: "may not use schema %[1]s",
			hint: "run: GRANT USAGE ON SCHEMA %[1]s TO %[2]s", swap: true},
		{name: "SELECT was lost", sql: "REVOKE SELECT ON " + access + " FROM %[2]s", err: "may not SELECT from " + access,
			hint: "run: GRANT SELECT ON " + access + " TO %[2]s", swap: true},
		{name: "all was lost", sql: "REVOKE ALL ON " + access + " FROM %[2]s; REVOKE ALL ON SCHEMA %[1]s FROM %[2]s", err: "may not use schema %[1]s",
			hint: "run: GRANT USAGE ON SCHEMA %[1]s TO %[2]s; GRANT SELECT, UPDATE (refused) ON " + access + " TO %[2]s", swap: true},
		{name: "no refused", sql: "ALTER TABLE " + access + " DROP COLUMN refused", err: "it has no column refused",
			hint: "ADD COLUMN refused bigint"},
		{name: "no account", sql: "ALTER TABLE " + access + " DROP COLUMN account", err: "it has no column account",
			hint: "RENAME TO ticketproxy_access_old", swap: true},
	} {
		schema, user := fmt.Sprintf("State %d", i), fmt.Sprintf("reader %d", i)
		expand := func(text string) string {
			return strings.NewReplacer("%[1]s", quoted(schema), "%[2]s", quoted(user)).Replace(text)
		}
		s.psql(t, expand("CREATE ROLE %[2]s LOGIN; "+createTables+"REVOKE ALL ON %[1]s.ticketproxy_state, "+access+" FROM %[2]s; "+
			"GRANT SELECT, UPDATE (refused) ON "+access+" TO %[2]s"))
		s.psql(t, expand(b.sql))
		d := s.open(t, strings.ReplaceAll(user, " ", "%20"), schema, s.addr())
		_, _, err := d.ProbeReader(t.Context())
		if err == nil || !strings.Contains(err.Error(), expand(b.err)) || !strings.Contains(hint.Of(err), expand(b.hint)) {
			t.Errorf("%s: %v; hint %q", b.name, err, hint.Of(err))
		}
		if _, err := d.Access("park").LoadAccess(t.Context()); b.swap && (err == nil || errors.Is(err, tokens.ErrUnavailable) ||
			!strings.Contains(hint.Of(err), expand(b.hint))) {
			t.Errorf("%s: LoadAccess: %v; hint %q", b.name, err, hint.Of(err))
		}
		if strings.Contains(hint.Of(err), "INSERT") {
			t.Errorf("%s: a reader gets a right of refreshers: %s", b.name, hint.Of(err))
		}
		s.administratorRuns(t, hint.Of(err))
		if b.name == "no account" { // a refresher creates the table anew
			continue
		}
		if _, _, err := d.ProbeReader(t.Context()); err != nil {
			t.Errorf("%s: not mended: %v; hint %q", b.name, err, hint.Of(err))
		}
	}
}

// TestServerHiddenTable tests that a table in the default schema, which the user may not look
// into any more, is not taken for one that does not exist: its account would begin anew.
func TestServerHiddenTable(t *testing.T) {
	s := startServer(t)
	s.psql(t, "CREATE ROLE me LOGIN; GRANT CREATE ON SCHEMA public TO me")
	d := s.open(t, "me", "", s.addr())
	park := d.Account("park")
	storetest.MustSwap(t, park, "", storetest.Record(1))
	s.psql(t, "REVOKE ALL ON SCHEMA public FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM me")
	const want = `have an administrator of the database run: GRANT USAGE ON SCHEMA "public" TO "me"`
	_, _, loaded := park.Load(t.Context())
	_, access := d.Access("park").LoadAccess(t.Context())
	_, swapped := park.Swap(t.Context(), "", storetest.Record(2))
	_, probed := d.Probe(t.Context())
	_, listed := d.Accounts(t.Context())
	_, _, reader := d.ProbeReader(t.Context())
	for name, err := range map[string]error{
		"Load": loaded, "LoadAccess": access, "Swap": swapped, "Probe": probed, "Accounts": listed, "ProbeReader": reader,
	} {
		if err == nil || !strings.Contains(err.Error(), `this user may not use schema "public"`) || hint.Of(err) != want ||
			errors.Is(err, tokens.ErrUnavailable) {
			t.Errorf("%s: %v; hint %q", name, err, hint.Of(err))
		}
	}
	s.administratorRuns(t, want)
	if r, _, err := park.Load(t.Context()); err != nil || r.Generation != 1 {
		t.Errorf("after it: generation %d, %v", r.Generation, err)
	}
}
