package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"ticketproxy/hint"
)

// runs is the hint to run SQL that this user may not run.
func runs(sql string) string { return "have an administrator of the database run: " + sql }

// grant returns the statement that grants this user rights on some tables.
func (t tables) grant(rights string, names ...string) string {
	return "GRANT " + rights + " ON " + strings.Join(names, ", ") + " TO " + t.user
}

// rightsOfRefresher are what a refresher may do with each table.
const rightsOfRefresher = "SELECT, INSERT, UPDATE"

// grantUsage returns the statement that lets this user look into the schema; none if it may.
func (t tables) grantUsage() []string {
	if t.usage {
		return nil
	}
	return []string{"GRANT USAGE ON SCHEMA " + t.schema + " TO " + t.user}
}

// allow returns the SQL that gives a refresher what it lacks, and nothing else; "" when it has
// all. Where there is a table for records which cannot be used, it says nothing of readers.
func (t tables) allow() string {
	if !t.hasSchema {
		return fmt.Sprintf("CREATE SCHEMA %s; GRANT USAGE, CREATE ON SCHEMA %[1]s TO %s", t.schema, t.user)
	}
	lacking := []table{t.state}
	if !t.state.exists() || t.usage && t.state.denied == "" {
		lacking = append(lacking, t.access)
	}
	return strings.Join(append(t.grantUsage(), t.allowTables(lacking...)...), "; ")
}

// allowTables returns the statements that make tables usable to a refresher.
func (t tables) allowTables(list ...table) []string {
	var creates, grants, created []string
	for _, one := range list {
		switch {
		case !one.exists() && !t.mayCreate:
			creates, created = append(creates, one.create(one.full)), append(created, one.full)
		case one.denied != "":
			grants = append(grants, t.grant(one.denied, one.full))
		case one.exists() && one.guarded:
			grants = append(grants, t.policy(one))
		}
	}
	if len(created) > 0 {
		creates = append(creates, t.grant(rightsOfRefresher, created...))
	}
	return append(creates, grants...)
}

// policy returns the statement that lets this user see and write all rows of a table.
func (t tables) policy(one table) string {
	return "CREATE POLICY ticketproxy ON " + one.full + " TO " + t.user + " USING (true) WITH CHECK (true)"
}

// replace returns the SQL that puts a table which is something else out of the way, and creates
// the right one where no refresher of this user does that.
func (t tables) replace(one table) string {
	sql := []string{"ALTER TABLE " + one.full + " RENAME TO " + one.name + "_old"}
	if t.reader {
		return sql[0]
	}
	one.id = ""
	return strings.Join(append(sql, t.allowTables(one)...), "; ")
}

// unusable returns an error with a hint when a refresher has no table here for its records,
// and may not create it.
func (t tables) unusable() error {
	var what string
	switch {
	case t.schema == "":
		return hint.With(errors.New("no schema of this user's search_path exists"),
			"name a schema with search_path=SCHEMA in the URL of TICKETPROXY_STATE")
	case !t.hasSchema:
		return hint.With(fmt.Errorf("schema %s does not exist", t.schema),
			"name the right one with search_path=SCHEMA in the URL of TICKETPROXY_STATE, or "+runs(t.allow()))
	case !t.usage:
		what = "this user may not use schema " + t.schema
	case !t.state.exists() && !t.mayCreate:
		what = "table " + t.state.full + " does not exist, and this user may not create it"
	default:
		return nil
	}
	return hint.With(errors.New(what), runs(t.allow()))
}

// readerRights are what a user may do, as far as it matters to a reader.
type readerRights struct {
	selects    bool // access tokens
	flags      bool // that an access token was refused
	writes     bool // access tokens
	seesState  bool
	writeState bool
}

// readerRights asks what this user may do with the tables that look has found.
func (t tables) readerRights(ctx context.Context, conn *pgconn.PgConn) (readerRights, error) {
	rows, err := query(ctx, conn, `SELECT has_table_privilege(access, 'SELECT'),
		(SELECT has_column_privilege(access, attnum, 'UPDATE') FROM pg_attribute
			WHERE attrelid = access AND attname = 'refused' AND NOT attisdropped),
		has_any_column_privilege(access, 'INSERT') OR (SELECT has_column_privilege(access, attnum, 'UPDATE')
			FROM pg_attribute WHERE attrelid = access AND attname = 'record' AND NOT attisdropped),
		has_any_column_privilege(state, 'SELECT'),
		has_any_column_privilege(state, 'INSERT, UPDATE') OR has_table_privilege(state, 'DELETE, TRUNCATE')
	FROM (SELECT NULLIF($1, '')::oid AS state, NULLIF($2, '')::oid AS access) AS t`, t.state.id, t.access.id)
	if err != nil {
		return readerRights{}, err
	}
	row := rows[0]
	return readerRights{
		selects:    row[0] == "t",
		flags:      row[1] == "t",
		writes:     row[2] == "t",
		seesState:  row[3] == "t",
		writeState: row[4] == "t",
	}, nil
}

// allowReader returns the SQL that gives a reader what it lacks, and nothing else.
func (t tables) allowReader(may readerRights) string {
	sql := t.grantUsage()
	var rights []string
	if !may.selects {
		rights = append(rights, "SELECT")
	}
	if !may.flags {
		rights = append(rights, "UPDATE (refused)")
	}
	switch {
	case !t.access.exists():
	case len(rights) > 0:
		sql = append(sql, t.grant(strings.Join(rights, ", "), t.access.full))
	case t.access.guarded:
		sql = append(sql, t.policy(t.access))
	}
	return strings.Join(sql, "; ")
}

// explained adds to an error of a statement what the catalogs say of its reason: a right that
// this user lacks, or a table that is not as it is needed. It asks nothing after other errors,
// and returns them as they are.
func (d *Database) explained(ctx context.Context, conn *pgconn.PgConn, err error, reader bool) error {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || hint.Of(err) != "" || !slices.Contains([]string{"0A", "22", "23", "42"}, e.Code[:min(2, len(e.Code))]) {
		return err
	}
	t, failed := d.look(ctx, conn)
	if failed != nil {
		return err
	}
	t.reader = reader
	needed := []table{t.state, t.access}
	if reader {
		needed = needed[1:]
	}
	switch {
	case e.Code == undefinedTable && needed[0].exists() && !t.usage:
		err = &flawError{fmt.Errorf("this user may not use schema %s", t.schema)}
	case e.Code == undefinedTable:
		return err
	case e.Code != insufficientPrivilege:
		return t.misshapen(ctx, conn, err, needed)
	}
	sql := t.allow()
	if reader {
		may, failed := t.readerRights(ctx, conn)
		if failed != nil {
			return err
		}
		sql = t.allowReader(may)
	}
	if sql == "" {
		return hint.With(err, "have an administrator of the database give this user the right that the server names")
	}
	return hint.With(err, runs(sql))
}

// misshapen adds to an error which of the tables is not as it is needed.
func (t tables) misshapen(ctx context.Context, conn *pgconn.PgConn, err error, needed []table) error {
	for _, one := range needed {
		if wrong := t.checkShape(ctx, conn, one); hint.Of(wrong) != "" {
			return fmt.Errorf("%w: %w", wrong, err)
		}
	}
	var creates []string
	for _, one := range needed {
		creates = append(creates, one.create(one.full))
	}
	return hint.With(err, "see that the tables are as these statements create them: "+strings.Join(creates, "; "))
}
