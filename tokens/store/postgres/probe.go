package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"ticketproxy/hint"
	"ticketproxy/tokens"
)

// Probe proves that records can be read and written to, by writes that it takes back, and
// tells whether changes are told. The error may have a hint.
func (d *Database) Probe(ctx context.Context) (proved string, _ error) {
	t := d.names()
	version := ""
	err := d.session(ctx, func(ctx context.Context, conn *pgconn.PgConn) (err error) {
		version = conn.ParameterStatus("server_version")
		if t, err = d.look(ctx, conn); err != nil {
			return err
		}
		return d.prove(ctx, conn, t)
	})
	if err != nil {
		return "", d.refused(err)
	}
	proved = fmt.Sprintf("%s, PostgreSQL %s: %s can be read and written to", d, version, t.state.full)
	if !t.state.exists() {
		proved = fmt.Sprintf("%s, PostgreSQL %s: %s will be created", d, version, t.state.full)
	}
	return proved + d.silence(ctx), nil
}

// silence says that notifications do not arrive; "" when they do.
func (d *Database) silence(ctx context.Context) string {
	if d.listens(ctx) {
		return ""
	}
	return fmt.Sprintf("; notifications do not arrive, as behind a pooler, so changes are read every %v", pollWait)
}

// prove checks rights, the server's settings and the tables' columns, and then tries a swap.
func (d *Database) prove(ctx context.Context, conn *pgconn.PgConn, t tables) error {
	if err := t.unusable(); err != nil {
		return err
	}
	rows, err := query(ctx, conn, "SELECT current_setting('fsync'), current_setting('full_page_writes')")
	if err != nil {
		return err
	}
	for i, name := range []string{"fsync", "full_page_writes"} {
		if rows[0][i] == "off" {
			return hint.With(fmt.Errorf("the server's %s is off: a crash of its machine can lose the refresh token", name),
				"ALTER SYSTEM SET "+name+" = on, and reload the server")
		}
	}
	if t.state.denied != "" {
		return hint.With(fmt.Errorf("this user may not %s on %s", t.state.denied, t.state.full), runs(t.allow()))
	}
	needed := []table{t.state}
	if t.copies() {
		needed = append(needed, t.access)
	}
	for _, one := range needed {
		if err := t.checkShape(ctx, conn, one); err != nil {
			return err
		}
	}
	for range 3 { // for another process that creates the tables at the same time
		if err = d.rehearse(ctx, conn); !hasCode(err, failedTransaction, serializationFailure, deadlockDetected) {
			break
		}
	}
	return d.explained(ctx, conn, err, false)
}

// rehearse does in a transaction what refreshers and readers do, with an account that nobody
// has, and rolls it back. So nothing stays, and nobody is told.
func (d *Database) rehearse(ctx context.Context, conn *pgconn.PgConn) (err error) {
	if _, err := query(ctx, conn, "BEGIN ISOLATION LEVEL READ COMMITTED"); err != nil {
		return err
	}
	defer func() {
		if _, failed := query(ctx, conn, "ROLLBACK"); err == nil { // the connection's end does it, too
			err = failed
		}
	}()
	t, err := d.usable(ctx, conn)
	if err != nil {
		return err
	}
	name, version := "check-"+rand.Text(), tokens.Version("")
	for generation := range uint64(2) { // a first record, and one that follows it
		w, err := newWrite(tokens.Record{Generation: generation + 1})
		if err != nil {
			return err
		}
		statement, args := t.swap(name, version, w)
		if err := t.changes(ctx, conn, t.state, statement, args...); err != nil {
			return err
		}
		version = w.version
	}
	if !t.copies() {
		return nil
	}
	if err := t.changes(ctx, conn, t.access, t.readAccess(), name); err != nil {
		return err
	}
	return t.changes(ctx, conn, t.access, t.flag(), name, "2")
}

// changes runs a statement of rehearse, and returns an error unless it finds the one row that
// was written.
func (t tables) changes(ctx context.Context, conn *pgconn.PgConn, one table, statement string, args ...string) error {
	rows, err := query(ctx, conn, statement, args...)
	if err == nil && len(rows) != 1 {
		return hint.With(fmt.Errorf("table %s does not keep what is written to it", one.full),
			"see that no rule, trigger or policy changes it, and that it is as this creates it: "+one.create(one.full))
	}
	return err
}

// listens reports whether a notification arrives.
func (d *Database) listens(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, echoTimeout/2)
	defer cancel()
	echo, heard := rand.Text(), false
	conn, err := d.connect(ctx, func(_, payload string) {
		if strings.TrimSpace(payload) == echo {
			heard = true
		}
	})
	if err != nil {
		return false
	}
	defer conn.Close(ctx)
	if _, err := query(ctx, conn, "LISTEN "+stateChannel); err != nil || d.notify(ctx, echo) != nil {
		return false
	}
	for !heard {
		if err := conn.WaitForNotification(ctx); err != nil {
			return false
		}
	}
	return true
}
