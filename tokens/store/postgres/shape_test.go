package postgres

import (
	"slices"
	"strings"
	"testing"

	"ticketproxy/hint"
)

// shaped returns the catalog's rows of columns.
func shaped(columns []column) (rows [][]string) {
	letter := func(is bool) string {
		if is {
			return "t"
		}
		return "f"
	}
	for _, c := range columns {
		rows = append(rows, []string{c.name, c.kind, letter(c.notNull), letter(c.preset != ""), letter(c.unique), "r"})
	}
	return rows
}

// TestDifferences tests what is said of a table that has other columns, and what mends it.
func TestDifferences(t *testing.T) {
	t.Parallel()
	access := table{columns: accessColumns()}
	for _, tt := range []struct {
		name           string
		change         func([]column) []column
		flaws, actions string
	}{
		{"the same", func(c []column) []column { return c }, "", ""},
		{"in another order, with another column", func(c []column) []column {
			slices.Reverse(c)
			return append(c, column{name: "note", kind: "text"}, column{name: "id", kind: "int", notNull: true, preset: "x"})
		}, "", ""},
		{"without a column", func(c []column) []column { return append(c[:3:3], c[4]) },
			"it has no column refused", "ADD COLUMN refused bigint NOT NULL DEFAULT 0"},
		{"without generation", func(c []column) []column { return slices.Delete(c, 1, 2) },
			"it has no column generation", "ADD COLUMN generation bigint NOT NULL DEFAULT 0"},
		{"without accounts", func(c []column) []column { return c[1:] }, "it has no column account", ""},
		{"another type", func(c []column) []column { c[2].kind = "text"; return c },
			"its column record is of type text, not json", "ALTER COLUMN record TYPE json USING record::json"},
		{"another type with a default", func(c []column) []column { c[2].kind, c[2].preset = "text", "x"; return c },
			"its column record is of type text, not json",
			"ALTER COLUMN record DROP DEFAULT, ALTER COLUMN record TYPE json USING record::json"},
		{"no default", func(c []column) []column { c[3].preset = ""; return c }, "its column refused has no default",
			"ALTER COLUMN refused TYPE bigint USING COALESCE(refused::bigint, 0), ALTER COLUMN refused SET DEFAULT 0"},
		{"no key", func(c []column) []column { c[0].unique = false; return c }, "its column account is not unique", "ADD UNIQUE (account)"},
		{"a column that needs a value", func(c []column) []column {
			return append(c, column{name: `Who "else"`, kind: "text", notNull: true})
		}, `its column "Who ""else""" needs a value, which ticketproxy does not write`, `ALTER COLUMN "Who ""else""" DROP NOT NULL`},
	} {
		flaws, actions := access.differences(tt.change(accessColumns()))
		if got := strings.Join(flaws, "; "); got != tt.flaws {
			t.Errorf("%s: flaws %s", tt.name, got)
		}
		if got := strings.Join(actions, ", "); got != tt.actions {
			t.Errorf("%s: actions %s", tt.name, got)
		}
	}
}

// TestAllow tests that the SQL which allows a refresher or a reader what it lacks has nothing
// else.
func TestAllow(t *testing.T) {
	t.Parallel()
	const state, access = `"s".ticketproxy_state`, `"s".ticketproxy_access`
	all := tables{
		state:     table{name: "ticketproxy_state", full: state, id: "1", columns: stateColumns()},
		access:    table{name: "ticketproxy_access", full: access, id: "2", columns: accessColumns()},
		user:      `"me"`,
		schema:    `"s"`,
		hasSchema: true,
		usage:     true,
	}
	for _, tt := range []struct {
		name           string
		change         func(*tables, *readerRights)
		want, ofReader string
	}{
		{"all", func(*tables, *readerRights) {}, "", ""},
		{"no schema", func(t *tables, _ *readerRights) { t.hasSchema = false },
			`CREATE SCHEMA "s"; GRANT USAGE, CREATE ON SCHEMA "s" TO "me"`, ""},
		{"no USAGE", func(t *tables, _ *readerRights) { t.usage = false },
			`GRANT USAGE ON SCHEMA "s" TO "me"`, `GRANT USAGE ON SCHEMA "s" TO "me"`},
		{"no tables", func(t *tables, _ *readerRights) { t.state.id, t.access.id = "", "" },
			all.state.create(state) + "; " + all.access.create(access) + "; GRANT SELECT, INSERT, UPDATE ON " + state + ", " + access + ` TO "me"`, ""},
		{"no tables, and the right to create them", func(t *tables, _ *readerRights) { t.state.id, t.access.id, t.mayCreate = "", "", true }, "", ""},
		{"the state alone", func(t *tables, _ *readerRights) { t.state.denied, t.access.denied = "UPDATE", "SELECT, INSERT" },
			"GRANT UPDATE ON " + state + ` TO "me"`, ""},
		{"the copies alone", func(t *tables, _ *readerRights) { t.access.denied = "SELECT, INSERT" },
			"GRANT SELECT, INSERT ON " + access + ` TO "me"`, ""},
		{"no table for readers", func(t *tables, _ *readerRights) { t.access.id = "" },
			all.access.create(access) + "; GRANT SELECT, INSERT, UPDATE ON " + access + ` TO "me"`, ""},
		{"a reader's rights", func(_ *tables, r *readerRights) { *r = readerRights{} }, "",
			"GRANT SELECT, UPDATE (refused) ON " + access + ` TO "me"`},
		{"a reader's flag", func(_ *tables, r *readerRights) { r.flags = false }, "", "GRANT UPDATE (refused) ON " + access + ` TO "me"`},
		{"row-level security", func(t *tables, _ *readerRights) { t.access.guarded = true },
			"CREATE POLICY ticketproxy ON " + access + ` TO "me" USING (true) WITH CHECK (true)`,
			"CREATE POLICY ticketproxy ON " + access + ` TO "me" USING (true) WITH CHECK (true)`},
	} {
		tables, rights := all, readerRights{selects: true, flags: true}
		tt.change(&tables, &rights)
		if got := tables.allow(); got != tt.want {
			t.Errorf("%s: a refresher gets %s", tt.name, got)
		}
		if got := tables.allowReader(rights); got != tt.ofReader {
			t.Errorf("%s: a reader gets %s", tt.name, got)
		}
	}
}

// TestUnusable tests what is said where a refresher has no table for its records.
func TestUnusable(t *testing.T) {
	t.Parallel()
	good := tables{schema: `"s"`, hasSchema: true, usage: true, state: table{full: `"s".ticketproxy_state`, id: "1"}}
	for _, tt := range []struct {
		change    func(*tables)
		err, hint string
	}{
		{func(*tables) {}, "", ""},
		{func(t *tables) { t.schema, t.hasSchema = "", false }, "no schema of this user's search_path exists", "name a schema with search_path=SCHEMA"},
		{func(t *tables) { t.hasSchema = false }, `schema "s" does not exist`, "run: CREATE SCHEMA"},
		{func(t *tables) { t.usage = false }, `this user may not use schema "s"`, "run: GRANT USAGE ON SCHEMA"},
		{func(t *tables) { t.state.id = "" }, `table "s".ticketproxy_state does not exist`, "run: CREATE TABLE"},
		{func(t *tables) { t.state.id, t.mayCreate = "", true }, "", ""},
	} {
		tables := good
		tt.change(&tables)
		err := tables.unusable()
		if tt.err == "" && err == nil {
			continue
		}
		if err == nil || tt.err == "" || !strings.HasPrefix(err.Error(), tt.err) || !strings.Contains(hint.Of(err), tt.hint) {
			t.Errorf("%q: %v; hint %q", tt.err, err, hint.Of(err))
		}
	}
}
