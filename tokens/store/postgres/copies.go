package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"ticketproxy/hint"
	"ticketproxy/tokens"
)

// ReportCopies has report called as tokens.CopyReport does it.
func (d *Database) ReportCopies(report func(err error, exists bool)) { d.copies.To(report) }

// swapAndCopy swaps a record, and writes its copy for readers if that can be. The record is
// stored also where the copy is refused: a readers' table that somebody has changed must not
// cost a grant.
func (a *Account) swapAndCopy(ctx context.Context, conn *pgconn.PgConn, t tables, old tokens.Version, w write) error {
	d := a.database
	err := a.swap(ctx, conn, t, old, w)
	switch {
	case err == nil && t.copies():
		d.copies.Written()
		return nil
	case err == nil:
		d.copies.Failed(t.noCopies(), t.access.exists())
		return nil
	case !t.copies() || !isRefusal(err):
		return err
	}
	refused, without := err, t
	without.access.id = ""
	// The refused transaction has done nothing.
	if err = a.swap(ctx, conn, without, old, w); err == nil {
		refused = d.explained(ctx, conn, refused, false)
		d.copies.Failed(fmt.Errorf("writing access tokens to %s: %w", t.access.full, refused), true)
	}
	return err
}

// isRefusal reports whether err is an answer of the server that will be the same until somebody
// changes rights or tables, and says that nothing was done.
func isRefusal(err error) bool {
	_, answered := errors.AsType[*pgconn.PgError](err)
	return answered && !isUnknown(err) && !isUnavailable(err)
}

// noCopies says why no access tokens are written for readers.
func (t tables) noCopies() error {
	why := fmt.Errorf("%s is not there, and this user may not create it", t.access.full)
	if t.access.exists() {
		why = fmt.Errorf("this user may not write to %s", t.access.full)
	}
	return hint.With(why, runs(t.allow()))
}
