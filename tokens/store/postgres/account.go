package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/jackc/pgx/v5/pgconn"

	"ticketproxy/hint"
	"ticketproxy/tokens"
)

// An Account is a tokens.Store in a row of the database. Safe for concurrent use.
type Account struct {
	database *Database
	name     string
}

// Notify implements tokens.Notifier. The first call begins to listen.
func (a *Account) Notify(changed func()) {
	a.database.watch.subscribe(topic{stateChannel, a.name}, func(string) { changed() })
}

// NotifyRefused implements tokens.RefusalNotifier.
func (a *Account) NotifyRefused(refused func(generation uint64)) {
	a.database.watch.subscribe(topic{refusedChannel, a.name}, func(value string) {
		if generation, err := strconv.ParseUint(value, 10, 64); err == nil && generation > 0 {
			refused(generation)
		}
	})
}

// Gone implements tokens.Presence for processes that see the same /dev/shm: in the same pod,
// or on the same machine outside of pods.
func (a *Account) Gone(holder string) bool {
	return a.database.presence.Gone(holder[strings.LastIndexByte(holder, '/')+1:])
}

// Load implements tokens.Store. A table that does not exist has no record.
func (a *Account) Load(ctx context.Context) (tokens.Record, tokens.Version, error) {
	var data string
	found := false
	t := a.database.names()
	err := a.database.session(ctx, func(ctx context.Context, conn *pgconn.PgConn) (err error) {
		data, found, err = read(ctx, conn, t, a.name)
		return a.database.explained(ctx, conn, err, false)
	})
	switch {
	case hasCode(err, undefinedTable):
	case err != nil && ctx.Err() != nil:
		return tokens.Record{}, "", fmt.Errorf("reading state: %w: %w", tokens.ErrUnavailable, errors.Join(ctx.Err(), err))
	case err != nil:
		return tokens.Record{}, "", a.database.reading(err)
	}
	if !found {
		a.seen("")
		a.database.note(a.name, "")
		return tokens.Record{}, "", tokens.ErrNone
	}
	version := versionOf(data)
	a.seen(version)
	a.database.note(a.name, data)
	record, err := tokens.Decode([]byte(data))
	if err == nil {
		return record, version, nil
	}
	damaged := errors.Is(err, tokens.ErrDamaged)
	err = fmt.Errorf("reading state: row %s of %s in %s: %w", a.name, t.state.full, a.database, err)
	if !damaged {
		return tokens.Record{}, "", hint.With(err, hintForNewer)
	}
	return tokens.Record{}, version, hint.With(err, "delete that row and run: ticketproxy login "+a.name)
}

// hintForNewer is for a record of a format that this program does not know.
const hintForNewer = "a newer version of ticketproxy wrote that row: run that version here, and do not delete the row"

// read returns the text of an account's record.
func read(ctx context.Context, conn *pgconn.PgConn, t tables, name string) (data string, found bool, _ error) {
	rows, err := query(ctx, conn, "SELECT record::text FROM "+t.state.sql+" WHERE account = $1", name)
	if err != nil || len(rows) == 0 {
		return "", false, err
	}
	return rows[0][0], true, nil
}

// Swap implements tokens.Store. It creates the tables if they are missing.
func (a *Account) Swap(ctx context.Context, old tokens.Version, next tokens.Record) (tokens.Version, error) {
	w, err := newWrite(next)
	if err != nil {
		return "", fmt.Errorf("saving state: %w", err)
	}
	if next.Intent != nil {
		a.database.presence.Announce()
	}
	err = a.database.session(ctx, func(ctx context.Context, conn *pgconn.PgConn) error {
		t, err := a.database.usable(ctx, conn)
		if err != nil {
			err = &notSentError{err}
		} else {
			err = a.swapAndCopy(ctx, conn, t, old, w)
		}
		return a.database.explained(ctx, conn, err, false)
	})
	switch {
	case errors.Is(err, tokens.ErrConflict):
		return "", tokens.ErrConflict
	case err != nil && isUnknown(err) && next.Intent != nil:
		a.database.note(a.name, w.data)
		return "", a.database.writing(err)
	case err != nil:
		return "", a.database.writing(err)
	}
	a.database.note(a.name, w.data)
	return w.version, nil
}

// usable returns the tables after those that are missing were created.
func (d *Database) usable(ctx context.Context, conn *pgconn.PgConn) (tables, error) {
	t, err := d.look(ctx, conn)
	if err != nil {
		return t, err
	}
	if err := t.unusable(); err != nil {
		return t, err
	}
	return t.created(ctx, conn)
}

// A write is a record to be written.
type write struct {
	data, access string // the record, and what readers get of it
	generation   string
	version      tokens.Version
}

func newWrite(r tokens.Record) (write, error) {
	data, err := r.Encode()
	if err != nil {
		return write{}, err
	}
	access, err := r.Access().Encode()
	if err != nil {
		return write{}, err
	}
	w := write{data: ascii(data), access: ascii(access), generation: strconv.FormatUint(r.Generation, 10)}
	w.version = versionOf(w.data)
	return w, nil
}

// accessTokenIn matches the access token in a copy for readers. Copies are compared without
// it, as tokens.Record.SameAccess does: encryption makes another text of it each time. JSON
// functions of the server are of no use here, for they fail on characters that the database's
// encoding lacks.
const accessTokenIn = `"access_token": *"([^"\\]|\\.)*"`

// swap returns a statement, with its parameters, that is one transaction: it compares, writes
// an account's record and its copy for readers, and tells of both. It returns a row if it has
// done so. The commit is durable even if the user's or the server's default is otherwise:
// set_config is for this transaction.
func (t tables) swap(name string, old tokens.Version, w write) (statement string, args []string) {
	args = []string{name, w.data, string(w.version), string(old)}
	swapped := "UPDATE " + t.state.sql + " SET record = $2::json, updated_at = now() WHERE account = $1 AND " +
		hash("record") + " = $4 RETURNING account"
	if old == "" {
		swapped = "INSERT INTO " + t.state.sql + " (account, record) SELECT $1, $2::json WHERE $4 = '' " +
			"ON CONFLICT (account) DO NOTHING RETURNING account"
	}
	statement = "WITH swapped AS (" + swapped + ")"
	tell := ""
	if t.copies() {
		args = append(args, w.generation, w.access, string(versionOf(w.access)), accessTokenIn)
		statement += ", copied AS (INSERT INTO " + t.access.sql + " AS a (account, generation, record) " +
			"SELECT account, $5::bigint, $6::json FROM swapped ON CONFLICT (account) DO UPDATE " +
			"SET generation = excluded.generation, record = excluded.record, updated_at = now() " +
			"WHERE regexp_replace(a.record::text, $8, '') <> regexp_replace(excluded.record::text, $8, '') RETURNING 1)"
		tell = ", (SELECT pg_notify('" + accessChannel + "', $1 || ' ' || $7) FROM copied)"
	}
	return statement + " SELECT CASE WHEN current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') " +
		"THEN set_config('synchronous_commit', 'on', true) END, " +
		"pg_notify('" + stateChannel + "', $1 || ' ' || $3)" + tell + " FROM swapped", args
}

// swap swaps the record. After a serialization failure or a deadlock, which do nothing, it
// does so again.
func (a *Account) swap(ctx context.Context, conn *pgconn.PgConn, t tables, old tokens.Version, w write) error {
	statement, args := t.swap(a.name, old, w)
	a.seen(w.version) // before the server tells of it
	for {
		rows, err := query(ctx, conn, statement, args...)
		switch {
		case err != nil && hasCode(err, serializationFailure, deadlockDetected):
			continue
		case err != nil:
			return err
		case len(rows) == 1:
			return nil
		}
		data, found, err := read(ctx, conn, t, a.name)
		if err != nil {
			return &notSentError{err}
		}
		if _, err := tokens.Decode([]byte(data)); found && errors.Is(err, tokens.ErrDamaged) {
			return &notSentError{err}
		}
		return tokens.ErrConflict
	}
}

func (a *Account) seen(version tokens.Version) {
	a.database.watch.seen(topic{stateChannel, a.name}, string(version))
}

// hash returns the version of a column's text in SQL, as versionOf computes it.
func hash(column string) string {
	return "encode(sha256(convert_to(" + column + "::text, 'UTF8')), 'hex')"
}

func versionOf(data string) tokens.Version {
	sum := sha256.Sum256([]byte(data))
	return tokens.Version(hex.EncodeToString(sum[:]))
}

// ascii returns JSON without characters that a database's encoding may not have.
func ascii(data []byte) string {
	var b strings.Builder
	for _, r := range string(data) {
		if r < 0x80 {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}
