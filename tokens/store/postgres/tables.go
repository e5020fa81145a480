package postgres

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// tables are the two tables, and what this user may do with them.
type tables struct {
	state, access table
	user          string // quoted
	schema        string // quoted: where the tables are or will be; "" when that is not known
	reader        bool   // this user is to be a reader's

	// What look finds.
	hasSchema bool // it exists
	usage     bool // this user may look into it
	mayCreate bool // this user may create a table there
}

// A table is one of the two tables.
type table struct {
	name    string // without a schema
	sql     string // in statements
	full    string // for people: with its schema, as far as that is known
	columns []column

	// What look finds.
	id      string // of pg_class; "" when it does not exist
	denied  string // what this user may not do: some of SELECT, INSERT, UPDATE
	guarded bool   // by row-level security
}

// exists reports whether look has found the table. This user need not see it.
func (t table) exists() bool { return t.id != "" }

// copies reports whether this user may write to the table for readers.
func (t tables) copies() bool { return t.access.exists() && t.access.denied == "" }

// names returns the tables' names.
func (d *Database) names() tables {
	t := tables{
		state:  table{name: "ticketproxy_state", columns: stateColumns()},
		access: table{name: "ticketproxy_access", columns: accessColumns()},
		user:   quoted(d.config.User),
	}
	if d.schema != "" {
		t.schema = quoted(d.schema)
	}
	for _, one := range []*table{&t.state, &t.access} {
		one.sql = one.name
		if t.schema != "" {
			one.sql = t.schema + "." + one.name
		}
		one.full = one.sql
	}
	return t
}

// quoted returns an identifier of SQL.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// create returns the statement that creates the table by a name.
func (t table) create(name string) string {
	var columns []string
	for _, c := range t.columns {
		columns = append(columns, c.definition())
	}
	return "CREATE TABLE IF NOT EXISTS " + name + " (" + strings.Join(columns, ", ") + ")"
}

// lookStatement asks where the tables are and what this user may do, of the catalogs, which
// everybody may read: to_regclass fails for a schema that this user may not look into. $1 is
// the schema. Without one, it is the first of the search_path that this user may look into,
// else the first that exists.
const lookStatement = `WITH place AS (SELECT CASE WHEN $1::text <> '' THEN $1 ELSE COALESCE(current_schema()::text, (
		SELECT nspname::text
		FROM unnest(string_to_array(current_setting('search_path'), ',')) WITH ORDINALITY AS p (entry, n)
		JOIN pg_namespace ON nspname =
			CASE btrim(entry, ' "') WHEN '$user' THEN current_user::text ELSE btrim(entry, ' "') END
		ORDER BY n LIMIT 1)) END AS name),
	home AS (SELECT name, n.oid FROM place LEFT JOIN pg_namespace AS n ON n.nspname = name)
SELECT current_user, home.name, home.oid IS NOT NULL,
	COALESCE(has_schema_privilege(home.oid, 'USAGE'), false), COALESCE(has_schema_privilege(home.oid, 'CREATE'), false),
	r.oid, n.nspname,
	array_to_string(ARRAY(SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) AS p
		WHERE NOT has_table_privilege(r.oid, p)), ', '),
	COALESCE(row_security_active(r.oid), false)
FROM home CROSS JOIN (VALUES ('ticketproxy_state'), ('ticketproxy_access')) AS t (name)
LEFT JOIN pg_class AS r ON r.oid = COALESCE(CASE WHEN $1 = '' THEN to_regclass(t.name)::oid END,
	(SELECT c.oid FROM pg_class AS c WHERE c.relnamespace = home.oid AND c.relname = t.name))
LEFT JOIN pg_namespace AS n ON n.oid = r.relnamespace
ORDER BY t.name DESC`

// look returns the tables as they are now.
func (d *Database) look(ctx context.Context, conn *pgconn.PgConn) (tables, error) {
	t := d.names()
	rows, err := query(ctx, conn, lookStatement, d.schema)
	if err != nil {
		return t, err
	}
	for i, one := range []*table{&t.state, &t.access} {
		row := rows[i]
		t.user, t.hasSchema, t.usage, t.mayCreate = quoted(row[0]), row[2] == "t", row[3] == "t", row[4] == "t"
		if row[1] != "" {
			t.schema = quoted(row[1])
			one.full = t.schema + "." + one.name
		}
		if one.id = row[5]; one.exists() {
			one.full = quoted(row[6]) + "." + one.name
		}
		one.denied, one.guarded = row[7], row[8] == "t"
	}
	return t, nil
}

// created returns the tables after those that are missing were created where this user may.
func (t tables) created(ctx context.Context, conn *pgconn.PgConn) (tables, error) {
	if !t.usage || !t.mayCreate {
		return t, nil
	}
	for _, missing := range []*table{&t.state, &t.access} {
		if missing.exists() {
			continue
		}
		// Two processes that create a table at once can get in each other's way, in spite of
		// IF NOT EXISTS.
		_, err := query(ctx, conn, missing.create(missing.sql))
		if err != nil && !hasCode(err, "23505", "42P07", "42710") {
			return t, err
		}
		missing.id = "new"
	}
	return t, nil
}
