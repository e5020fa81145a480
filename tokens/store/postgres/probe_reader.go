package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"ticketproxy/hint"
)

// ProbeReader proves that a reader can use the table with the access tokens, and warns of
// what it may do besides. It reads no record, and asks only whether it could. The error may
// have a hint.
func (d *Database) ProbeReader(ctx context.Context) (proved string, warnings []string, _ error) {
	t := d.names()
	var may readerRights
	version := ""
	err := d.session(ctx, func(ctx context.Context, conn *pgconn.PgConn) (err error) {
		version = conn.ParameterStatus("server_version")
		if t, err = d.look(ctx, conn); err != nil {
			return err
		}
		t.reader = true
		if may, err = t.readerRights(ctx, conn); err != nil {
			return err
		}
		return d.explained(ctx, conn, t.proveReader(ctx, conn, may), true)
	})
	if err != nil {
		return "", nil, d.refused(err)
	}
	proved = fmt.Sprintf("%s, PostgreSQL %s: %s can be read", d, version, t.access.full)
	if !may.flags {
		proved += "; this user may not UPDATE (refused), so a reader cannot tell refreshers of a token that the API refuses"
	}
	proved += d.silence(ctx)
	const only = ": a reader needs only SELECT and UPDATE (refused) on "
	if may.seesState {
		warnings = append(warnings, "this user may read "+t.state.full+", which has the refresh tokens"+only+t.access.full)
	}
	if may.writeState {
		warnings = append(warnings, "this user may write to "+t.state.full+only+t.access.full)
	}
	if may.writes {
		warnings = append(warnings, "this user may put false access tokens into "+t.access.full+only+"it")
	}
	return proved, warnings, nil
}

// proveReader checks rights and the table's columns, and then tries what a reader does, with
// an account that nobody has.
func (t tables) proveReader(ctx context.Context, conn *pgconn.PgConn, may readerRights) error {
	switch {
	case t.schema != "" && !t.hasSchema:
		return hint.With(fmt.Errorf("schema %s does not exist", t.schema),
			"set TICKETPROXY_STATE as the refreshers have it, with search_path=SCHEMA where theirs has that")
	case t.hasSchema && !t.usage:
		return hint.With(fmt.Errorf("this user may not use schema %s", t.schema), runs(t.allowReader(may)))
	case !t.access.exists():
		return hint.With(fmt.Errorf("table %s does not exist", t.access.full),
			"run a refresher with this TICKETPROXY_STATE; its check says what it needs to write that table")
	case !may.selects:
		return hint.With(fmt.Errorf("this user may not SELECT from %s", t.access.full), runs(t.allowReader(may)))
	}
	if err := t.checkShape(ctx, conn, t.access); err != nil {
		return err
	}
	name := "check-" + rand.Text()
	if _, err := query(ctx, conn, t.readAccess(), name); err != nil || !may.flags {
		return err
	}
	_, err := query(ctx, conn, t.flag(), name, "0")
	return err
}

// ProbeCopy says whether this user can write access tokens for readers, and how to allow it.
func (d *Database) ProbeCopy(ctx context.Context) (string, error) {
	t := d.names()
	var shape error
	err := d.session(ctx, func(ctx context.Context, conn *pgconn.PgConn) (err error) {
		if t, err = d.look(ctx, conn); err == nil {
			shape = t.checkShape(ctx, conn, t.access)
		}
		return err
	})
	const nothing = "readers get no access tokens: "
	sql := strings.Join(append(t.grantUsage(), t.allowTables(t.access)...), "; ")
	switch {
	case err != nil:
		return "", d.refused(err)
	case !t.hasSchema:
		return nothing + "there is no schema for " + t.access.full, nil
	case shape != nil:
		return nothing + shape.Error() + "; " + hint.Of(shape), nil
	case t.copies() && t.usage:
		return "access tokens for readers are written to " + t.access.full, nil
	case t.access.exists():
		return nothing + "this user may not write to " + t.access.full + "; where there are readers, " + runs(sql), nil
	case t.usage && t.mayCreate:
		return "access tokens for readers will be written to " + t.access.full + ", which is not there yet", nil
	}
	return nothing + t.access.full + " is not there; where there are readers, " + runs(sql), nil
}
