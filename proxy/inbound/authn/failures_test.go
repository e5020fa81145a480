package authn

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestStrangersCauseNoFetch tests that tokens whose claims do not fit have no key looked for.
func TestStrangersCauseNoFetch(t *testing.T) {
	t.Parallel()
	virtual(t, func(t *testing.T, f *fixture) {
		for i := range 1000 {
			k := valid().head("kid", fmt.Sprint(i)).by("none")
			for _, k := range []token{k.with("aud", "x"), k.with("iss", "x"), k.with("exp", 1), k.with("aud", []string{"ticketproxy", ciURL})} {
				f.ask(bearer(k.String()))
			}
		}
		if f.issuers.fetches != 0 {
			t.Errorf("%d fetches", f.issuers.fetches)
		}
	})
}

// TestNeighbour tests that who shares an address with a stranger is not locked out.
func TestNeighbour(t *testing.T) {
	t.Parallel()
	virtual(t, func(t *testing.T, f *fixture) {
		known := valid().String()
		placeholder, err := f.NewPlaceholder("report", time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		f.ask(bearer(known))
		forged := valid().by("stranger").String()
		for i := range 100 {
			got := f.ask(bearer(forged))
			if want := "signature is not by the key"; i < 20 != (strings.HasPrefix(got, "Unauthorized") && strings.Contains(got, want)) {
				t.Fatalf("%d: %s", i, got)
			}
			if i >= 20 && !strings.Contains(got, "its token was not checked") {
				t.Fatalf("%d: %s", i, got)
			}
		}
		for credential, want := range map[string]string{
			f.key:                "shop by key",
			known:                "nightly by token",
			placeholder.Reveal(): "report by placeholder",
		} {
			if got := f.ask(bearer(credential)); got != want {
				t.Errorf("from a limited address: %s, want %s", got, want)
			}
		}
		if got := f.ask(request()); !strings.Contains(got, "proves no caller") {
			t.Errorf("a request that asks for a challenge: %s", got)
		}
		fresh := valid().with("sub", "project:42:fresh").String()
		if got := f.ask(bearer(fresh)); !strings.HasPrefix(got, "Too Many Requests") {
			t.Error(got)
		}
		r := bearer(fresh)
		r.RemoteAddr = "192.0.2.2:1"
		if got := f.ask(r); got != "nightly by token" {
			t.Errorf("from elsewhere: %s", got)
		}
		time.Sleep(checkInterval)
		if got := f.ask(bearer(valid().with("sub", "project:42:later").String())); got != "nightly by token" {
			t.Errorf("a moment later: %s", got)
		}
	})
}

// TestCheapFailuresKeepSignatures tests that an app with a wrong key, however often it tries,
// does not keep its neighbour's new token from being verified.
func TestCheapFailuresKeepSignatures(t *testing.T) {
	t.Parallel()
	virtual(t, func(t *testing.T, f *fixture) {
		wrong, _ := NewKey()
		for i := range 200 {
			_, p := f.Authenticate(bearer(wrong.Reveal()))
			if limited := p.Status == 429; limited != (i >= 20) || limited && (p.RetryAfter <= 0 || p.RetryAfter > time.Second) {
				t.Fatalf("%d: %+v", i, p)
			}
		}
		if got := f.ask(bearer(valid().String())); got != "nightly by token" {
			t.Error(got)
		}
		time.Sleep(time.Second)
		if _, p := f.Authenticate(bearer(wrong.Reveal())); p.Status != 401 {
			t.Errorf("a second later: %+v", p)
		}
	})
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for a, b := range map[string]string{
		"192.0.2.1:1":             "192.0.2.1:2",
		"[::ffff:192.0.2.1]:1":    "192.0.2.1:1",
		"[2001:db8::1]:1":         "[2001:db8::ffff:2]:1",
		"[fe80::1%eth0]:1":        "[fe80::1%eth1]:1",
		"@":                       "",
		"192.0.2.1:1 ":            "/run/socket",
		"[2001:db8:0:1:a::1]:443": "[2001:db8:0:1:b::1]:443",
	} {
		if addressOf(a) != addressOf(b) {
			t.Errorf("%s is not counted with %s", a, b)
		}
	}
	for a, b := range map[string]string{"192.0.2.1:1": "192.0.2.2:1", "[2001:db8::1]:1": "[2001:db8:0:1::1]:1", "[::1]:1": "127.0.0.1:1"} {
		if addressOf(a) == addressOf(b) {
			t.Errorf("%s is counted with %s", a, b)
		}
	}
}

// TestManyAddresses tests that the table is bounded, and that an address which fails much is
// not the first to be forgotten.
func TestManyAddresses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFailures()
		bad := addressOf("192.0.2.1:1")
		for range 60 {
			f.note(bad, true)
		}
		for i := range 3 * maxAddresses {
			f.note(addressOf(fmt.Sprintf("[2001:db8:%x:%x::1]:1", i>>8, i&255)), true)
		}
		if len(f.addresses) != maxAddresses {
			t.Errorf("%d addresses", len(f.addresses))
		}
		if f.mayCheck(bad) == 0 {
			t.Error("the worst address is forgotten")
		}
	})
}
