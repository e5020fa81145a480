package config_test

import (
	"net/url"
	"strings"
	"testing"

	"ticketproxy/config"
)

// TestStateInPostgres tests which URL goes to the store, and what is shown of it.
func TestStateInPostgres(t *testing.T) {
	t.Parallel()
	const all = "postgres:///tickets?host=db&port=5432&"
	for text, want := range map[string]struct{ full, shown string }{
		"postgres://me@db/tickets": {all + "sslmode=verify-full&user=me", "postgres://me@db/tickets"},
		"postgresql://me:p%40%2F+w@db:5433/tickets?sslmode=verify-full&sslrootcert=/etc/ca.pem": {
			"postgres:///tickets?host=db&password=p%40%2F%2Bw&port=5433&sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&user=me",
			"postgres://me@db:5433/tickets"},
		"postgres://db?user=me&dbname=tickets&password=a%20b": {
			all[:len(all)-len("port=5432&")] + "password=a%20b&port=5432&sslmode=verify-full&user=me", "postgres://me@db/tickets"},
		"postgres://me@a,b:5433/tickets?search_path=x": {
			"postgres:///tickets?host=a%2Cb&port=5432%2C5433&search_path=x&sslmode=verify-full&user=me", "postgres://me@a,b:5433/tickets"},
		"postgres://me@/tickets?host=a,b&port=5433": {
			"postgres:///tickets?host=a%2Cb&port=5433&sslmode=verify-full&user=me", "postgres://me@a:5433,b:5433/tickets"},
		"postgres://me@localhost/tickets": {
			"postgres:///tickets?host=localhost&port=5432&sslmode=prefer&user=me", "postgres://me@localhost/tickets"},
		"postgres://me@[::1]:1/tickets?sslmode=disable": {
			"postgres:///tickets?host=%3A%3A1&port=1&sslmode=disable&user=me", "postgres://me@[::1]:1/tickets"},
		"postgres://m%40e@db/tick%26%2Fets": {
			"postgres:///tick%26%2Fets?host=db&port=5432&sslmode=verify-full&user=m%40e", "postgres://m%40e@db/tick%26%2Fets"},
		"postgres://me@/tickets?host=/run/postgresql": {
			"postgres:///tickets?host=%2Frun%2Fpostgresql&port=5432&sslmode=prefer&user=me", "postgres://me@/tickets?host=/run/postgresql"},
		"postgres://me:x@/tickets?host=/run/a%20b,localhost&port=5433,5432": {
			"postgres:///tickets?host=%2Frun%2Fa%20b%2Clocalhost&password=x&port=5433%2C5432&sslmode=prefer&user=me",
			"postgres://me@/tickets?host=/run/a%20b,localhost&port=5433,5432"},
	} {
		for _, line := range []string{"STATE=" + text, "STATE_FILE=/state"} {
			c, err := parse(park(line), testFiles{"/state": text + "\n"})
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			equal(t, text, c.State.Reveal(), want.full)
			equal(t, text, c.State.String(), want.shown)
			equal(t, text, c.State.Kind, "postgres")
			if _, err := url.Parse(c.State.Reveal()); err != nil {
				t.Error(err)
			}
			again, err := parse(park("STATE="+c.State.String()), nil)
			if err != nil || again.State.String() != c.State.String() {
				t.Errorf("%s is read as %s, %v", c.State, again.State, err)
			}
		}
	}
}

// TestMisplacedPassword tests that a password which stands where a name is shown is refused,
// and not shown.
func TestMisplacedPassword(t *testing.T) {
	t.Parallel()
	for _, rest := range []string{
		"me@localhost/x&password=%s", "me@localhost/x;password=%s", "me@localhost/x%26password=%s", "me@localhost/x/%s",
		"me:12/%s@h/x?user=me", "me:12/%s@localhost/x", "me:12?%s@localhost/x", "me:12?%s@localhost/x&user=me&dbname=x",
		"me@localhost/x?password=a&%s=b", "me@localhost/x?sslmode=%s", "me@localhost/x?connect_timeout=%s",
		"me;password=%s@localhost/x", "me&password=%s@localhost/x", "me/%s@localhost/x", "me@%s@localhost/x",
		"me@localhost&password=%s/x", "me@localhost;password=%s/x", "me@localhost=%s/x?sslmode=verify-full",
		"localhost?user=me?password=%s&dbname=x", "localhost?user=me&dbname=x?password=%s", "localhost?user=me&dbname=x;password=%s",
		"me@/x?host=/run?password=%s", "localhost/x?us%%65r=me@%s", "me:12#%s@localhost/x",
	} {
		c, err := parse(park("STATE=postgres://"+strings.ReplaceAll(strings.ReplaceAll(rest, "%s", canary), "%%", "%")), nil)
		if err == nil || leaks(c, err) {
			t.Errorf("%s: state %s, %v", rest, c.State, err)
		}
	}
}

// TestStateFile tests that STATE_FILE gives any state, and is blamed for a wrong one.
func TestStateFile(t *testing.T) {
	t.Parallel()
	files := testFiles{"/dir": "file:/var/lib/é\n", "/wrong": "postgres://me:" + canary + "@db\n", "/empty": "\n"}
	c, err := parse(park("STATE_FILE=/dir"), files)
	if err != nil || c.State.Dir != "/var/lib/é" {
		t.Errorf("%+v, %v", c.State, err)
	}
	equal(t, "secret file", c.SecretFiles[len(c.SecretFiles)-1], config.SecretFile{Variable: "TICKETPROXY_STATE_FILE", Path: "/dir"})
	for _, path := range []string{"/wrong", "/empty", "/none"} {
		c, err := parse(park("STATE_FILE="+path), files)
		wrong, ok := err.(*config.Error)
		if !ok || len(wrong.Mistakes) != 1 || wrong.Mistakes[0].Variable != "TICKETPROXY_STATE_FILE" || leaks(c, err) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// FuzzMisplacedPassword tests that no mistake shows a part of the URL.
func FuzzMisplacedPassword(f *testing.F) {
	f.Add("me:", "@db:5432,[::1]:1/x?sslmode=verify-full")
	f.Add("/x?user=%2e&", "=a&host=/run&port=1,2")
	f.Fuzz(func(t *testing.T, before, after string) {
		c, err := parse(park("STATE=postgres://"+before+canary+after), nil)
		if err != nil && leaks(c, err) {
			t.Errorf("%q, %q: %v", before, after, err)
		}
	})
}

func FuzzStateInPostgres(f *testing.F) {
	f.Add("me:pw@db:5432,[::1]:1/x?sslmode=verify-full")
	f.Add("/x?user=%2e&host=/run&port=1,2")
	f.Fuzz(func(t *testing.T, rest string) {
		c, err := parse(park("STATE=postgres://"+rest), nil)
		if err != nil {
			return
		}
		again, err := parse(park("STATE="+c.State.Reveal()), nil)
		if err != nil || again.State.Reveal() != c.State.Reveal() || again.State.String() != c.State.String() {
			t.Errorf("%q: %q, and again %q, %v", rest, c.State.Reveal(), again.State.Reveal(), err)
		}
	})
}
