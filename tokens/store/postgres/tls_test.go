//go:build cluster

package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ticketproxy/hint"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

// secure has the server speak TLS with a certificate for localhost, and believe the
// authority's certificates of clients. It waits until the server does.
func (s *server) secure(t *testing.T, a authority) {
	t.Helper()
	file := func(name string) string { return filepath.Join(s.data(), name) }
	a.issue(t, file("server.crt"), file("server.key"), "", "localhost")
	root, err := os.ReadFile(a.path)
	if err != nil {
		t.Fatal(err)
	}
	rules := "hostssl all certified 127.0.0.1/32 cert\nhostssl all all 127.0.0.1/32 trust\nlocal all all trust\n"
	for name, text := range map[string]string{"root.crt": string(root), "pg_hba.conf": rules} {
		if err := os.WriteFile(file(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s.user != nil {
		for _, name := range []string{"server.crt", "server.key", "root.crt", "pg_hba.conf"} {
			if err := os.Chown(file(name), int(s.user.Uid), int(s.user.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.psql(t, "ALTER SYSTEM SET ssl_ca_file = 'root.crt'")
	s.psql(t, "ALTER SYSTEM SET ssl = on")
	s.kill(t)
	s.start(t)
}

// lostAlert reports whether the server's refusal of a client's certificate was lost. With TLS 1.3, it comes
// when the client's handshake has ended, and the server closes the connection: what the client writes then
// may have the refusal dropped.
func lostAlert(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "connection reset by peer") || strings.Contains(err.Error(), "broken pipe"))
}

// TestServerTLS tests that a real server must prove who it is, by a name and an authority,
// and that a client can do so by a certificate.
func TestServerTLS(t *testing.T) {
	s := startServer(t)
	ours, other := newAuthority(t), newAuthority(t)
	s.psql(t, "CREATE ROLE certified LOGIN; GRANT CREATE ON SCHEMA public TO certified")
	s.secure(t, ours)
	own, foreign := t.TempDir(), t.TempDir()
	ours.issue(t, own+"/crt", own+"/key", "certified")
	other.issue(t, foreign+"/crt", foreign+"/key", "certified")
	client := func(dir string) string { return "&sslcert=" + dir + "/crt&sslkey=" + dir + "/key" }
	for _, tt := range []struct{ name, user, host, parameters, err, hint string }{
		{"the right name", "postgres", "localhost", "sslmode=verify-full&sslrootcert=" + ours.path, "", ""},
		{
			"a wrong name", "postgres", "127.0.0.1", "sslmode=verify-full&sslrootcert=" + ours.path,
			"certificate", "a host name in the URL that the server's certificate has",
		},
		{
			"an unknown authority", "postgres", "localhost", "sslmode=verify-full&sslrootcert=" + other.path,
			"unknown authority", "sslrootcert=FILE",
		},
		{"the system's authorities", "postgres", "localhost", "sslmode=verify-full", "unknown authority", "sslrootcert=FILE"},
		{"no TLS", "postgres", "localhost", "sslmode=disable", "no encryption", "pg_hba.conf"},
		{"a client's certificate", "certified", "localhost", "sslmode=verify-full&sslrootcert=" + ours.path + client(own), "", ""},
		{
			"no certificate of the client", "certified", "localhost", "sslmode=verify-full&sslrootcert=" + ours.path,
			"requires a valid client certificate", "pg_hba.conf",
		},
		{
			"a client's certificate of another authority", "certified", "localhost",
			"sslmode=verify-full&sslrootcert=" + ours.path + client(foreign), "certificate", "sslcert=FILE",
		},
	} {
		d, err := Open("postgres://" + tt.user + "@" + tt.host + ":" + s.port + "/postgres?" + tt.parameters)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		_, probed := d.Probe(t.Context())
		_, _, loaded := d.Account("park").Load(t.Context())
		if tt.err == "" {
			if probed != nil || !errors.Is(loaded, tokens.ErrNone) {
				t.Errorf("%s: %v; %v", tt.name, probed, loaded)
			}
			continue
		}
		for _, err := range []error{probed, loaded} {
			if strings.Contains(tt.parameters, "sslcert=") && lostAlert(err) {
				continue
			}
			if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(hint.Of(err), tt.hint) ||
				errors.Is(err, tokens.ErrUnavailable) {
				t.Errorf("%s: %v; hint %q", tt.name, err, hint.Of(err))
			}
		}
	}
	d, err := Open("postgres://certified@localhost:" + s.port + "/postgres?sslrootcert=" + ours.path + "&sslmode=verify-full" + client(own))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	told := make(chan bool, 100)
	park := d.Account("park")
	park.Notify(func() { told <- true })
	storetest.MustSwap(t, s.overSocket(t, "certified").Account("park"), "", storetest.Record(1))
	<-told // the listener speaks TLS, too
	if got := s.psql(t, "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'certified'"); strings.TrimSpace(got) != "t" {
		t.Errorf("ssl is %s", got)
	}
	if err := os.Rename(own+"/key", own+"/moved"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := park.Load(t.Context()); !errors.Is(err, tokens.ErrUnavailable) ||
		!strings.Contains(err.Error(), own+`/key" of sslkey does not exist`) {
		t.Errorf("without the key: %v; hint %q", err, hint.Of(err))
	}
}

// overSocket returns the state of a user, over the Unix socket.
func (s *server) overSocket(t *testing.T, user string) *Database {
	t.Helper()
	d, err := Open("postgres:///postgres?user=" + user + "&host=" + s.dir + "&port=" + s.port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}
