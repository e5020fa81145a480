package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"ticketproxy/hint"
	"ticketproxy/tokens"
)

// An Access is a tokens.AccessStore: the copy of an account's record that readers get. It
// asks for nothing else, so its user needs no right to the records. Safe for concurrent use.
type Access struct {
	database *Database
	name     string
}

// Notify implements tokens.Notifier. The first call begins to listen.
func (a *Access) Notify(changed func()) {
	a.database.watch.subscribe(topic{accessChannel, a.name}, func(string) { changed() })
}

// LoadAccess implements tokens.AccessStore. A table that does not exist has no record.
func (a *Access) LoadAccess(ctx context.Context) (tokens.Record, error) {
	var rows [][]string
	d := a.database
	t := d.names()
	err := d.session(ctx, func(ctx context.Context, conn *pgconn.PgConn) (err error) {
		rows, err = query(ctx, conn, t.readAccess(), a.name)
		return d.explained(ctx, conn, err, true)
	})
	switch {
	case hasCode(err, undefinedTable):
		return tokens.Record{}, tokens.ErrNone
	case err != nil && ctx.Err() != nil:
		return tokens.Record{}, fmt.Errorf("reading access token: %w: %w", tokens.ErrUnavailable, errors.Join(ctx.Err(), err))
	case err != nil:
		return tokens.Record{}, d.reading(err)
	case len(rows) == 0:
		return tokens.Record{}, tokens.ErrNone
	}
	data := rows[0][0]
	a.database.watch.seen(topic{accessChannel, a.name}, string(versionOf(data)))
	record, err := tokens.Decode([]byte(data))
	if err == nil {
		return record, nil
	}
	damaged := errors.Is(err, tokens.ErrDamaged)
	err = fmt.Errorf("reading access token: row %s of %s in %s: %w", a.name, t.access.full, d, err)
	if damaged {
		return tokens.Record{}, err
	}
	return tokens.Record{}, hint.With(err, hintForNewer)
}

// Refuse implements tokens.AccessStore. It does nothing once refreshers were told, and for a
// generation that is not the present one.
func (a *Access) Refuse(ctx context.Context, generation uint64) error {
	d := a.database
	err := d.session(ctx, func(ctx context.Context, conn *pgconn.PgConn) error {
		_, err := query(ctx, conn, d.names().flag(), a.name, strconv.FormatUint(generation, 10))
		return d.explained(ctx, conn, err, true)
	})
	if err == nil {
		return nil
	}
	return fmt.Errorf("saying that an access token was refused: %w", err)
}

// readAccess returns the statement that reads an access token.
func (t tables) readAccess() string {
	return "SELECT record::text FROM " + t.access.sql + " WHERE account = $1"
}

// flag returns the statement that says that the access token of a generation was refused. It
// returns a row if it has changed one.
func (t tables) flag() string {
	return "WITH flagged AS (UPDATE " + t.access.sql + " SET refused = generation " +
		"WHERE account = $1 AND generation = $2::bigint AND refused <> generation RETURNING 1) " +
		"SELECT pg_notify('" + refusedChannel + "', $1 || ' ' || $2) FROM flagged"
}
