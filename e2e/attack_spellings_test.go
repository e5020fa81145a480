package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// loopbackSpellings maps a Host header to the URL hosts that make a browser send
// it. All of them reach this machine. TestHostilePage attacks the first two.
var loopbackSpellings = map[string][]string{
	"127.0.0.1":       {"127.0.0.1", "127.0.0.1.", "127.1", "2130706433", "0x7f.1", "0x7f000001", "017700000001", "0177.0.0.1"},
	"localhost":       {"localhost", "LOCALHOST", "%6cocalhost", "\uff4cocalhost"},
	"0.0.0.0":         {"0.0.0.0", "0", "0x0", "0.0.0.0."},
	"127.0.0.2":       {"127.0.0.2", "127.2"},
	"localhost.":      {"localhost.", "LocalHost."},
	"foo.localhost":   {"foo.localhost", "Foo.LOCALHOST"},
	"[::1]":           {"[::1]", "[0:0:0:0:0:0:0:1]", "[::0.0.0.1]"},
	"[::]":            {"[::]", "[0::0]"},
	"[::ffff:7f00:1]": {"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]"},
	"[::ffff:0:0]":    {"[::ffff:0.0.0.0]"},
}

// TestHostilePageLoopbackSpellings has pages attack each listener under every
// spelling of loopback and of the unspecified address that Chromium accepts.
// Chromium sends Sec-Fetch-Site to some of them only. No attack may reach the API.
func TestHostilePageLoopbackSpellings(t *testing.T) {
	f := newBrowserFixture(t)
	f.appRequest()
	attackerOrigin := f.attacker.origin("evil.test")
	var spellings, want []string
	for host, all := range loopbackSpellings {
		for _, s := range all {
			spellings, want = append(spellings, "http://"+s), append(want, host)
		}
	}
	list, err := json.Marshal(spellings)
	if err != nil {
		t.Fatal(err)
	}
	f.attacker.serve("/hosts", fmt.Sprintf(`<!doctype html><script>
		fetch('%s/report', {method: 'POST', mode: 'no-cors', body: JSON.stringify({page: 'hosts', reads: [],
			attacks: %s.map(url => new URL(url).hostname)})})
	</script>`, attackerOrigin, list))
	open(t, attackerOrigin+"/hosts")
	if got := f.report().Attacks; !slices.Equal(got, want) {
		t.Errorf("Chromium parsed hosts %q as %q, want %q", spellings, got, want)
	}
	for name, listener := range map[string]struct{ address, read, write string }{
		"app":   {f.app, "/read", "/write"},
		"admin": {f.proxy.admin, "/status", "/quit"},
	} {
		t.Run(name, func(t *testing.T) {
			p := startTap(t, "[::]:0", listener.address)
			_, port, _ := strings.Cut(p.address, "]:")
			var targets []target
			for host := range loopbackSpellings {
				if host != "127.0.0.1" && host != "localhost" {
					targets = append(targets, target{host, "http://" + host + ":" + port, listener.read, listener.write})
				}
			}
			f.attacker.serve("/"+name, attackPage(attackerOrigin, false, targets...))
			open(t, attackerOrigin+"/"+name)
			r := f.report()
			for _, to := range targets {
				awaitAttacks(t, to.Name, r.untrusted(), func() map[string]bool { return attacksThrough(p, to.Name) })
			}
			for _, read := range r.Reads {
				t.Errorf("%s: attack %s read %.80q", read.Target, read.Attack, read.Text)
			}
			unmarked := map[string]bool{}
			for _, one := range p.requests() {
				if one.url.Query().Get("attack") == "img" && one.header["Sec-Fetch-Site"] == nil {
					unmarked[one.host] = true
				}
			}
			t.Logf("Chromium sends no Sec-Fetch-Site with an image request to %v", unmarked)
			mustRefuse(t, p, "the listener", "403 cross_site", "421 host_not_allowed", "404", "405")
		})
	}
	f.appRequest()
	f.mustGetOnlyAppRequests(2)
}
