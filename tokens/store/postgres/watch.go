package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// The channels of NOTIFY. Their payload is an account, a blank, and a value: the version of
// the record or of its copy for readers, or the generation that a reader says was refused.
// Every role of the database may notify. So a payload makes somebody read, and no more: which
// generation was refused is read from the table.
const (
	stateChannel   = "ticketproxy_state"
	accessChannel  = "ticketproxy_access"
	refusedChannel = "ticketproxy_refused"
)

// Waits of the watch.
const (
	minWatchWait = time.Second      // before a connection that failed is made again
	maxWatchWait = 30 * time.Second // after many failures in a row
	echoTimeout  = 5 * time.Second  // of watch.echo
	pollWait     = 30 * time.Second // between reads where notifications do not arrive
	pollTime     = 10 * time.Minute // how long it is read then, before listening is tried again
)

// A topic is what subscribers are told of.
type topic struct{ channel, account string }

// A watch tells of changes. One connection stays open, and listens (postgresql.org, LISTEN).
// After it has broken, the next one reads what has changed meanwhile. A pooler in
// transaction mode lets no notification through: where none arrives, the watch reads the
// versions from time to time. Safe for concurrent use.
type watch struct {
	database *Database
	echo     time.Duration // how long a notification may take that proves that they arrive

	mu          sync.Mutex
	cancel      context.CancelFunc // nil before the first subscription
	ended       chan struct{}
	closed      bool
	subscribers map[topic]*subscriber
}

// A subscriber is told of each value that differs from the last one.
type subscriber struct {
	told  func(value string)
	value string
}

// subscribe has told called for a topic. The first subscription begins the watch.
func (w *watch) subscribe(t topic, told func(value string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.subscribers == nil {
		w.subscribers = map[topic]*subscriber{}
	}
	w.subscribers[t] = &subscriber{told: told}
	if w.cancel == nil && !w.closed {
		ctx, cancel := context.WithCancel(context.Background())
		w.cancel, w.ended = cancel, make(chan struct{})
		go w.run(ctx, w.ended)
	}
}

// seen notes the value of a topic that this process has read or writes, which it need not
// be told of.
func (w *watch) seen(t topic, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.subscribers[t]; s != nil {
		s.value = value
	}
}

func (w *watch) close() {
	w.mu.Lock()
	w.closed = true
	cancel, ended := w.cancel, w.ended
	w.mu.Unlock()
	if cancel != nil {
		cancel()
		<-ended
	}
}

// tell tells the topic's subscriber of a value that is new to it.
func (w *watch) tell(t topic, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.subscribers[t]; s != nil && s.value != value {
		s.value = value
		s.told(value)
	}
}

// topics returns the accounts that somebody has subscribed to on a channel.
func (w *watch) topics(channel string) []topic {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []topic
	for t := range w.subscribers {
		if t.channel == channel {
			all = append(all, t)
		}
	}
	return all
}

// errSilent says that notifications do not arrive.
var errSilent = errors.New("notifications do not arrive: a pooler in transaction mode lets none through")

// run listens until ctx is done.
func (w *watch) run(ctx context.Context, ended chan<- struct{}) {
	defer close(ended)
	for failures := 0; ctx.Err() == nil; failures++ {
		heard, err := w.listen(ctx)
		if errors.Is(err, errSilent) {
			w.poll(ctx)
		}
		if heard {
			failures = 0
		}
		wait := min(minWatchWait<<min(failures, 10), maxWatchWait)
		sleep(ctx, wait/2+mathrand.N(wait/2+1))
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// listen is one connection. It reports whether notifications have arrived.
func (w *watch) listen(ctx context.Context) (heard bool, _ error) {
	echo, flagged := rand.Text(), false
	conn, err := w.open(ctx, func(channel, payload string) {
		account, value, _ := strings.Cut(payload, " ")
		switch {
		case channel == refusedChannel:
			flagged = true
			return
		case account == "" && value == echo:
			heard = true
		}
		w.tell(topic{channel, account}, value)
	})
	if err != nil {
		return false, err
	}
	defer conn.Close(ctx)
	proof, cancel := context.WithTimeout(ctx, w.echo)
	defer cancel()
	if err := w.database.notify(proof, echo); err != nil {
		return false, err
	}
	for !heard {
		if err := conn.WaitForNotification(proof); err != nil && ctx.Err() == nil && proof.Err() != nil {
			return false, errSilent
		} else if err != nil {
			return false, err
		}
	}
	for {
		for flagged {
			flagged = false
			if err := w.readFlags(ctx, conn); err != nil {
				return true, err
			}
		}
		if err := conn.WaitForNotification(ctx); err != nil {
			return true, err
		}
	}
}

// readFlags tells of what readers say was refused.
func (w *watch) readFlags(ctx context.Context, conn *pgconn.PgConn) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return w.readAccess(ctx, conn, nil, w.topics(refusedChannel))
}

// open makes the connection, begins to listen, and then reads what has changed before.
func (w *watch) open(ctx context.Context, told func(channel, payload string)) (*pgconn.PgConn, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	conn, err := w.database.connect(ctx, told)
	if err != nil {
		return nil, err
	}
	for _, channel := range []string{stateChannel, accessChannel, refusedChannel} {
		if _, err = query(ctx, conn, "LISTEN "+channel); err != nil {
			break
		}
	}
	if err == nil {
		err = w.read(ctx, conn)
	} else if _, answered := errors.AsType[*pgconn.PgError](err); answered { // some poolers refuse
		err = errSilent
	}
	if err != nil {
		conn.Close(ctx)
		return nil, err
	}
	return conn, nil
}

// notify proves to a listener that notifications arrive, by another connection.
func (d *Database) notify(ctx context.Context, echo string) error {
	return d.session(ctx, func(ctx context.Context, conn *pgconn.PgConn) error {
		_, err := query(ctx, conn, "SELECT pg_notify('"+stateChannel+"', ' ' || $1)", echo)
		return err
	})
}

// poll reads for pollTime what has changed.
func (w *watch) poll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	for ctx.Err() == nil {
		sleep(ctx, pollWait/2+mathrand.N(pollWait))
		// An error may pass until the next time.
		_ = w.database.session(ctx, w.read)
	}
}

// read tells of all that has changed. A table that is missing, or not for this user, has
// nothing.
func (w *watch) read(ctx context.Context, conn *pgconn.PgConn) error {
	t := w.database.names()
	states, copies, refusals := w.topics(stateChannel), w.topics(accessChannel), w.topics(refusedChannel)
	if len(states) > 0 {
		rows, err := query(ctx, conn, "SELECT account, "+hash("record")+" FROM "+t.state.sql)
		if err != nil && !hasCode(err, undefinedTable, insufficientPrivilege) {
			return err
		}
		w.tellAll(states, rows, 1)
	}
	return w.readAccess(ctx, conn, copies, refusals)
}

// readAccess tells of what has changed in the table for readers.
func (w *watch) readAccess(ctx context.Context, conn *pgconn.PgConn, copies, refusals []topic) error {
	if len(copies)+len(refusals) == 0 {
		return nil
	}
	rows, err := query(ctx, conn, "SELECT account, "+hash("record")+
		", CASE WHEN refused = generation THEN refused ELSE 0 END FROM "+w.database.names().access.sql)
	if err != nil && !hasCode(err, undefinedTable, insufficientPrivilege) {
		return err
	}
	w.tellAll(copies, rows, 1)
	w.tellAll(refusals, rows, 2)
	return nil
}

// tellAll tells of the values in a column of rows, whose first column is the account.
func (w *watch) tellAll(topics []topic, rows [][]string, column int) {
	values := map[string]string{}
	for _, row := range rows {
		values[row[0]] = row[column]
	}
	for _, t := range topics {
		w.tell(t, values[t.account])
	}
}
