// Package postgres keeps records in a table of PostgreSQL, which many replicas share.
//
// A record is a row, and the SHA-256 of its text is its version. A swap is one statement,
// which compares the version, writes the record and its copy for readers, and tells all who
// listen. So nothing is locked, and any pooler may be between here and the server.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"

	"ticketproxy/hint"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/presence"
)

// A Database keeps the records of all accounts in one database. Safe for concurrent use.
type Database struct {
	config   settings
	renewed  atomic.Pointer[settings] // in place of config, for connections; nil before Renew
	schema   string                   // of the tables; "" for the first of the server's search_path
	place    string                   // for people: without a password
	host     string                   // of this process
	presence *presence.Process
	watch    watch
	copies   tokens.CopyReport

	mu    sync.Mutex
	named map[string]bool // the accounts whose records may name this process
}

// Open returns the state in the database of a URL (postgresql.org, section 34.1.1.2). Its
// parameter search_path names the schema of the tables. The tables need not exist. Open
// does not ask the server. The error shows nothing of the URL, and may have a hint.
func Open(url string) (*Database, error) {
	d, err := parse(url)
	if err != nil {
		return nil, err
	}
	d.presence, d.named = presence.New(), map[string]bool{}
	d.host, _ = os.Hostname() // without it, the id is random alone
	d.watch.database, d.watch.echo = d, echoTimeout
	return d, nil
}

// Renew reads a URL again, and the files that it and the PG variables name. The connections
// that are made from now on use what is there: another password or certificate. The error is
// one of Open, or says that the URL is of another database, user or schema; then all stays as
// it was.
func (d *Database) Renew(url string) error {
	next, err := parse(url)
	if err != nil {
		return err
	}
	if next.place != d.place || next.schema != d.schema || next.config.User != d.config.User {
		return hint.With(errors.New("it is now another database, user or schema"), "restart the program to use it")
	}
	d.renewed.Store(&next.config)
	return nil
}

// Holder returns the unique id of this process in the records. It begins with the name of
// the host, which is the pod's name in a pod, so that people see which one it is.
func (d *Database) Holder() string {
	if d.host == "" {
		return d.presence.Holder()
	}
	return d.host + "/" + d.presence.Holder()
}

// Close ends the connection that listens, and this process's presence.
func (d *Database) Close() error {
	d.watch.close()
	d.mu.Lock()
	named := len(d.named) > 0
	d.mu.Unlock()
	if err := d.presence.Close(named); err != nil {
		return fmt.Errorf("closing state: %w", err)
	}
	return nil
}

// note notes whether the account's record, as it is stored, names this process.
func (d *Database) note(account, data string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.named, account)
	if strings.Contains(data, d.presence.Holder()) {
		d.named[account] = true
	}
}

// Accounts returns the names of the accounts that have a record, in alphabetical order.
func (d *Database) Accounts(ctx context.Context) ([]string, error) {
	var rows [][]string
	err := d.session(ctx, func(ctx context.Context, conn *pgconn.PgConn) (err error) {
		rows, err = query(ctx, conn, "SELECT account FROM "+d.names().state.sql+` ORDER BY account COLLATE "C"`)
		return d.explained(ctx, conn, err, false)
	})
	if err != nil && !hasCode(err, undefinedTable) {
		return nil, d.reading(err)
	}
	var names []string
	for _, row := range rows {
		names = append(names, row[0])
	}
	return names, nil
}

// Account returns the store of one account's record.
func (d *Database) Account(name string) *Account { return &Account{d, name} }

// Access returns what readers get of one account.
func (d *Database) Access(name string) *Access { return &Access{d, name} }

// String names the database without its password.
func (d *Database) String() string { return d.place }

var (
	_ tokens.Store           = (*Account)(nil)
	_ tokens.Notifier        = (*Account)(nil)
	_ tokens.Presence        = (*Account)(nil)
	_ tokens.RefusalNotifier = (*Account)(nil)
	_ tokens.AccessStore     = (*Access)(nil)
	_ tokens.Notifier        = (*Access)(nil)
)
