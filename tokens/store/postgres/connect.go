package postgres

import (
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"ticketproxy/hint"
	"ticketproxy/loopback"
)

const (
	// connectTimeout bounds the connection to one address.
	connectTimeout = 5 * time.Second
	// requestTimeout bounds a read or write with its connection, besides the caller's own
	// deadline.
	requestTimeout = 10 * time.Second
	// cancelTimeout is how long the server may take to cancel a statement whose ctx is done.
	// After it the outcome is not known.
	cancelTimeout = time.Second
)

// parameters are what a URL may have after its question mark.
func parameters() []string {
	return []string{
		"host", "port", "user", "password", "database", "passfile", "sslmode", "sslrootcert", "sslcert", "sslkey",
		"sslpassword", "sslsni", "sslnegotiation", "channel_binding", "application_name", "connect_timeout",
		"target_session_attrs", "search_path",
	}
}

// defaults are parameters for which the PG variables of the environment are not used.
func defaults() map[string]string {
	return map[string]string{
		"connect_timeout": "5", "channel_binding": "prefer", "require_auth": "", "min_protocol_version": "",
		"max_protocol_version": "", "sslcertmode": "allow", "sslsni": "1", "sslnegotiation": "postgres",
		"target_session_attrs": "any", "options": "", "timezone": "", "application_name": "", "servicefile": "",
	}
}

// withDefaults returns a URL with the defaults, and its parameters.
func withDefaults(text string) (string, url.Values, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", nil, err
	}
	values, err := url.ParseQuery(strings.ReplaceAll(u.RawQuery, "+", "%2B")) // a plus is no blank here
	if err != nil {
		return "", nil, err
	}
	for name := range values {
		if !slices.Contains(parameters(), name) {
			return "", nil, errors.New("unknown parameter")
		}
	}
	for name, value := range defaults() {
		if !values.Has(name) {
			values.Set(name, value)
		}
	}
	u.RawQuery = strings.ReplaceAll(values.Encode(), "+", "%20")
	return u.String(), values, nil
}

// settings say how to connect.
type settings struct {
	*pgconn.Config
	files tlsFiles // of its TLS
}

// parseSettings reads a URL. The PG variables that README lists are used where the URL is
// silent. The error shows nothing of the URL but the names of files.
func parseSettings(text string) (settings, error) {
	notURL := hint.With(errors.New("it is no URL of a PostgreSQL database that can be used"),
		"write postgres://USER@HOST/DATABASE, and percent-encode special characters of its parts")
	full, values, err := withDefaults(text)
	if err != nil {
		return settings{}, notURL
	}
	config, err := pgconn.ParseConfig(full)
	files := tlsFilesOf(values)
	switch {
	case err == nil:
		return settings{config, files}, nil
	case strings.Contains(err.Error(), "failed to read service"): // pgx has no other sign
		return settings{}, hint.With(errors.New("the service of PGSERVICE cannot be read"), "unset PGSERVICE")
	case !strings.Contains(err.Error(), "failed to configure TLS"):
		return settings{}, notURL
	}
	if wrong := files.wrong(); wrong != nil {
		return settings{}, wrong
	}
	if files.key.path == "" {
		return settings{}, notURL
	}
	return settings{}, files.wrongMatch(err)
}

// parse reads a URL.
func parse(text string) (*Database, error) {
	config, err := parseSettings(text)
	if err != nil {
		return nil, err
	}
	d := &Database{config: config, schema: config.RuntimeParams["search_path"]}
	if len(d.schema) > 63 || strings.ContainsAny(d.schema, ",\"\x00") {
		return nil, hint.With(errors.New("search_path is not the name of one schema"), "write search_path=SCHEMA")
	}
	first := &pgconn.FallbackConfig{Host: config.Host, Port: config.Port, TLSConfig: config.TLSConfig}
	var hosts []string
	for _, h := range append([]*pgconn.FallbackConfig{first}, config.Fallbacks...) {
		local := strings.HasPrefix(h.Host, "/") || loopback.Is(h.Host)
		if !local && (h.TLSConfig == nil || h.TLSConfig.InsecureSkipVerify) {
			return nil, hint.With(errors.New("its sslmode does not prove who the server is"),
				"write sslmode=verify-full, with sslrootcert=FILE if the server's certificate is not of a public authority")
		}
		if name := net.JoinHostPort(h.Host, strconv.Itoa(int(h.Port))); !slices.Contains(hosts, name) {
			hosts = append(hosts, name)
		}
	}
	d.place = "database " + config.Database + " at " + strings.Join(hosts, ",")
	d.settle()
	return d, nil
}

// settle sets what the URL and the environment have no say in.
func (d *Database) settle() {
	config := d.config
	name := config.RuntimeParams["application_name"]
	if name == "" {
		name = "ticketproxy"
	}
	// A pooler knows these two, and refuses most others.
	config.RuntimeParams = map[string]string{"application_name": name, "client_encoding": "UTF8"}
	// A server in recovery would answer with old records.
	config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 3,
	}}
	dial := loopback.Dial(dialer.DialContext)
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == "unix" {
			return dialer.DialContext(ctx, network, address)
		}
		return dial(ctx, network, address)
	}
	lookup := config.LookupFunc
	config.LookupFunc = func(ctx context.Context, host string) ([]string, error) {
		if loopback.IsName(host) {
			return loopback.Addresses(), nil
		}
		return lookup(ctx, host)
	}
}

// connect connects, with told called for each notification; it may be nil.
func (d *Database) connect(ctx context.Context, told func(channel, payload string)) (*pgconn.PgConn, error) {
	now := &d.config
	if renewed := d.renewed.Load(); renewed != nil {
		now = renewed
	}
	config := now.Copy()
	if told == nil {
		config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
			return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: cancelTimeout}
		}
	} else {
		config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { told(n.Channel, n.Payload) }
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err == nil {
		return conn, nil
	}
	if e, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		err = e.Unwrap() // without the words around it
	}
	if wrong := now.wrongSince(err); wrong != nil {
		err = wrong
	}
	return nil, &connectError{d.place, err}
}

// wrongSince returns what is wrong with the client's certificate when err, for which there is
// no connection, may come of that; nil when nothing is. pgx reads the files again each time.
func (s *settings) wrongSince(err error) error {
	usesTLS := func(f *pgconn.FallbackConfig) bool { return f.TLSConfig != nil }
	if s.TLSConfig == nil && !slices.ContainsFunc(s.Fallbacks, usesTLS) {
		return nil
	}
	tries := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		tries = joined.Unwrap()
	}
	if !slices.ContainsFunc(tries, mayBeTLS) {
		return nil
	}
	return s.files.wrongPair()
}

// mayBeTLS reports whether a try to connect got as far as TLS, and not further.
func mayBeTLS(err error) bool {
	if _, answered := errors.AsType[*pgconn.PgError](err); answered {
		return false
	}
	e, ok := errors.AsType[*net.OpError](err)
	return !ok || e.Op != "dial"
}

// session calls do with a connection of its own. A state is asked a few times an hour, and
// a connection that broke while it was idle would leave the outcome of a write open.
func (d *Database) session(ctx context.Context, do func(context.Context, *pgconn.PgConn) error) error {
	if err := ctx.Err(); err != nil {
		return &notSentError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	conn, err := d.connect(ctx, nil)
	if err != nil {
		return &notSentError{err}
	}
	defer conn.Close(ctx)
	return do(ctx, conn)
}

// query runs one statement, a transaction of its own, without a named prepared statement. It
// returns once the transaction has ended. NULL is "".
func query(ctx context.Context, conn *pgconn.PgConn, statement string, args ...string) ([][]string, error) {
	values := make([][]byte, len(args))
	for i, arg := range args {
		values[i] = []byte(arg)
	}
	result := conn.ExecParams(ctx, statement, values, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, result.Err
	}
	rows := make([][]string, len(result.Rows))
	for i, row := range result.Rows {
		for _, value := range row {
			rows[i] = append(rows[i], string(value))
		}
	}
	return rows, nil
}
