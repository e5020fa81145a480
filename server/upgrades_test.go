package server

import (
	"bufio"
	"crypto/ecdsa"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/proxy"
)

// A socket is an upgraded connection to the API, which sends back what it gets.
type socket struct {
	net.Conn
	r *bufio.Reader
}

// upgrade opens a socket with a proof.
func (g *gateway) upgrade(proof string) *socket {
	g.t.Helper()
	return g.upgradeAt(gatewayApps, "/park/socket", proof)
}

func (g *gateway) upgradeAt(listener, path, proof string) *socket {
	g.t.Helper()
	c, err := g.network.dial(g.t.Context(), "tcp", listener)
	if err != nil {
		g.t.Fatal(err)
	}
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"+
		"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", path, proof)
	s := &socket{c, bufio.NewReader(c)}
	res, err := http.ReadResponse(s.r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		g.t.Fatalf("%v, %v", res, err)
	}
	return s
}

// isOpen reports whether the socket sends back what it gets.
func (s *socket) isOpen() bool {
	go io.WriteString(s, "ping")
	_, err := io.ReadFull(s.r, make([]byte, len("ping")))
	return err == nil
}

// TestUpgradedConnectionsFollowCallersFile tests that a WebSocket is closed when what it was
// opened with is removed from CALLERS_FILE, and only then.
func TestUpgradedConnectionsFollowCallersFile(t *testing.T) {
	const before = `
issuers: {ci: {url: "http://` + gatewayCI + `", audience: ticketproxy}}
callers:
  shop: {keys: [KEY(first), KEY(second)], may: [{upstream: park}]}
  erp:  {keys: [KEY(erp)], may: [{upstream: "*"}]}
  report: {issuer: ci, subject: report, may: [{upstream: park}]}
`
	for name, tt := range map[string]struct {
		proof    string // the name of a key, or "token", or "placeholder"
		old, new string // what is changed in the file
		closed   bool
	}{
		"the caller is gone":            {"erp", "  erp:  {keys: [KEY(erp)], may: [{upstream: \"*\"}]}\n", "", true},
		"the key is gone":               {"first", "KEY(first), ", "", true},
		"the caller's other key":        {"second", "KEY(first), ", "", false},
		"another key":                   {"erp", "[KEY(erp)]", "[KEY(erp), KEY(next)]", false},
		"the key is another caller's":   {"erp", "erp:", "next:", true},
		"the rule is gone":              {"erp", `upstream: "*"`, "upstream: shop", true},
		"another rule":                  {"erp", `upstream: "*"`, "upstream: park", false},
		"another caller":                {"erp", "KEY(first), ", "", false},
		"the token's subject is gone":   {"token", "subject: report", "subject: other", true},
		"the token's issuer is another": {"token", "audience: ticketproxy", "audience: other", true},
		"an expired token":              {"token", "KEY(first), ", "", false},
		"the placeholder's key is gone": {"placeholder", "KEY(first), ", "", true},
		"a broken file":                 {"first", "KEY(first), ", "KEY(first), 7, ", false},
	} {
		t.Run(name, func(t *testing.T) {
			withCI(t, before, func(g *gateway, signer *ecdsa.PrivateKey) {
				g.setKey("token", signToken(t, signer, "http://"+gatewayCI, time.Minute))
				form := url.Values{"client_id": {"shop"}, "client_secret": {g.key("first")}}
				_, members := g.tokenRequest(form.Encode(), "Content-Type", formType)
				g.setKey("placeholder", members["access_token"].(string))
				s := g.upgrade(g.key(tt.proof))
				defer s.Close()
				time.Sleep(5 * time.Minute) // so the token has expired
				if !s.isOpen() {
					t.Fatal("it is closed before")
				}
				g.write(strings.Replace(before, tt.old, tt.new, 1))
				time.Sleep(reloadTime)
				if open := s.isOpen(); open == tt.closed {
					t.Errorf("open: %v", open)
				}
				synctest.Wait()
				if n := g.log.FilterMessageSnippet("upgraded connections were closed").Len(); n > 0 != tt.closed {
					t.Errorf("log: %v", g.log.All())
				}
				s.Close()
				synctest.Wait()
				if n := len(g.callers.gate.upgrades.all); n != 0 {
					t.Errorf("%d are noted afterwards", n)
				}
			})
		})
	}
}

// TestUpgradeBetweenTwoFiles tests that an upgrade is cut at once whose key was removed between
// the proof of its caller and its admission.
func TestUpgradeBetweenTwoFiles(t *testing.T) {
	const before = "callers:\n  shop: {keys: [KEY(first), KEY(second)], may: [{upstream: park}]}\n"
	withGateway(t, before, nil, func(g *gateway) {
		gate := g.callers.gate
		cut := map[string]int{}
		var admit []func()
		for _, name := range []string{"first", "second"} {
			r := httptest.NewRequest(http.MethodGet, "/park/socket", nil)
			r.Header.Set("Authorization", "Bearer "+g.key(name))
			caller, p := gate.Authenticate(r)
			if p != nil {
				t.Fatal(p)
			}
			asked := proxy.Request{Upstream: "park", Account: "park", Method: r.Method, Path: "/socket", Cut: func() { cut[name]++ }}
			admit = append(admit, func() {
				release, p := gate.Admit(caller, asked)
				if p != nil {
					t.Fatal(p)
				}
				release()
			})
		}
		g.write(strings.Replace(before, "KEY(first), ", "", 1))
		time.Sleep(reloadTime)
		for _, admit := range admit {
			admit()
		}
		if cut["first"] != 1 || cut["second"] != 0 {
			t.Errorf("cut: %v", cut)
		}
	})
}
