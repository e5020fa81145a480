package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"ticketproxy/proxy/inbound"
)

const (
	gatewayCI = "127.0.0.1:7003"
	ciFile    = `
issuers: {ci: {url: "http://` + gatewayCI + `", audience: ticketproxy}}
callers:
  report: {keys: [KEY(report)], issuer: ci, subject: report, may: [{upstream: park}]}
`
)

// withCI runs a test with a gateway and an issuer of tokens, whose key the test gets.
func withCI(t *testing.T, text string, test func(g *gateway, signer *ecdsa.PrivateKey)) {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	withGateway(t, text, nil, func(g *gateway) {
		defer g.serve(gatewayCI, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/keys" {
				json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: signer.Public(), KeyID: "k"}}})
				return
			}
			json.NewEncoder(w).Encode(map[string]string{"issuer": "http://" + gatewayCI, "jwks_uri": "http://" + gatewayCI + "/keys"})
		})()
		test(g, signer)
		g.end()
	})
}

// TestPlaceholderEndsWithItsProof tests that an app's placeholder is accepted for as long as the
// token that it was given for, and that the app is told so.
func TestPlaceholderEndsWithItsProof(t *testing.T) {
	withCI(t, ciFile, func(g *gateway, signer *ecdsa.PrivateKey) {
		buy := func(secret string) (placeholder string, expiresIn float64) {
			form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"report"}, "client_secret": {secret}}
			res, members := g.tokenRequest(form.Encode(), "Content-Type", formType)
			placeholder, _ = members["access_token"].(string)
			expiresIn, _ = members["expires_in"].(float64)
			if res.StatusCode != 200 || !strings.HasPrefix(placeholder, "tpp_") {
				t.Fatalf("%d %v", res.StatusCode, members)
			}
			return placeholder, expiresIn
		}
		ci := "http://" + gatewayCI
		for name, secret := range map[string]string{"a long token": signToken(t, signer, ci, 30*24*time.Hour), "a key": g.key("report")} {
			if _, expiresIn := buy(secret); expiresIn != 3600 {
				t.Errorf("%s: expires_in is %v", name, expiresIn)
			}
		}
		placeholder, expiresIn := buy(signToken(t, signer, ci, 10*time.Minute))
		if expiresIn != 660 { // the clocks of an issuer and ours may differ by a minute
			t.Errorf("a short token: expires_in is %v", expiresIn)
		}
		g.setKey("placeholder", placeholder)
		time.Sleep(659 * time.Second)
		g.expect("placeholder", "GET", "/park/a", 200, "")
		time.Sleep(time.Second)
		g.expect("placeholder", "GET", "/park/a", 401, "unauthenticated")
	})
}

// TestPlaceholderEnd tests how long a placeholder is accepted.
func TestPlaceholderEnd(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for until, want := range map[time.Time]time.Duration{
		{}:                       placeholderLifetime,
		now.Add(time.Hour):       time.Hour,
		now.Add(100 * time.Hour): placeholderLifetime,
	} {
		if got := placeholderEnd(inbound.Caller{Until: until}, now).Sub(now); got != want {
			t.Errorf("of a proof until %v: %v, want %v", until, got, want)
		}
	}
}
