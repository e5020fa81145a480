package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// loopbackSpellings are the hosts of URLs that lead a browser to this machine,
// by what the Host header then says. TestHostilePage attacks the first two.
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

// TestHostilePageLoopbackSpellings has pages attack each listener by every
// spelling of loopback and of the unspecified address that Chromium takes. It
// marks requests to some of them only. No attack may reach the API.
func TestHostilePageLoopbackSpellings(t *testing.T) {
	f := newBrowserFixture(t)
	f.appRequest()
	home := f.attacker.origin("evil.test")
	var spelled, want []string
	for host, spellings := range loopbackSpellings {
		for _, s := range spellings {
			spelled, want = append(spelled, "http://"+s), append(want, host)
		}
	}
	list, err := json.Marshal(spelled)
	if err != nil {
		t.Fatal(err)
	}
	f.attacker.serve("/hosts", fmt.Sprintf(`<!doctype html><script>
		fetch('%s/report', {method: 'POST', mode: 'no-cors', body: JSON.stringify({page: 'hosts', reads: [],
			attacks: %s.map(url => new URL(url).hostname)})})
	</script>`, home, list))
	open(t, home+"/hosts")
	if got := f.report().Attacks; !slices.Equal(got, want) {
		t.Errorf("Chromium takes %q for %q, want %q", spelled, got, want)
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
			f.attacker.serve("/"+name, campaign(home, false, targets...))
			open(t, home+"/"+name)
			r := f.report()
			for _, to := range targets {
				awaitAttacks(t, to.Name, r.untrusted(), func() map[string]bool { return attacksThrough(p, to.Name) })
			}
			for _, read := range r.Reads {
				t.Errorf("%s: %s could read %.80q", read.Target, read.Attack, read.Text)
			}
			unmarked := map[string]bool{}
			for _, one := range p.requests() {
				if one.url.Query().Get("attack") == "img" && one.header["Sec-Fetch-Site"] == nil {
					unmarked[one.host] = true
				}
			}
			t.Logf("Chromium does not mark an image at %v", unmarked)
			mustRefuse(t, p, "the listener", "403 cross_site", "421 host_not_allowed", "404", "405")
		})
	}
	f.appRequest()
	f.mustGetOnlyAppRequests(2)
}
