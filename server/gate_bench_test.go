package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"

	"ticketproxy/admin"
	"ticketproxy/config"
	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound/authn"
)

// BenchmarkGate measures what a request costs more where callers are asked who they are. A
// request without that costs what proxy.BenchmarkProxy says.
func BenchmarkGate(b *testing.B) {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	issuer := httptest.NewServer(nil)
	defer issuer.Close()
	issuer.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: signer.Public(), KeyID: "k"}}})
			return
		}
		json.NewEncoder(w).Encode(map[string]string{"issuer": issuer.URL, "jwks_uri": issuer.URL + "/keys"})
	})
	key, digest := authn.NewKey()
	g := benchmarkGate(b, fmt.Sprintf(`
issuers: {ci: {url: %q, audience: ticketproxy}}
callers:
  shop:   {keys: ["sha256:%s"], may: [{upstream: park, methods: [GET], paths: [/events/**]}], rate: {per: second, requests: 1000000000, burst: 1000000000}}
  report: {issuer: ci, subject: report, may: [{upstream: park, methods: [GET], paths: [/events/**]}]}
`, issuer.URL, hex.EncodeToString(digest[:])))
	for name, proof := range map[string]string{"key": key.Reveal(), "token": signToken(b, signer, issuer.URL, time.Hour)} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, "/events/7", nil)
			r.Header.Set("Authorization", "Bearer "+proof)
			b.ReportAllocs()
			for b.Loop() {
				caller, p := g.Authenticate(r)
				if p != nil {
					b.Fatal(p)
				}
				release, p := g.Admit(caller, proxy.Request{Upstream: "park", Account: "park", Method: r.Method, Path: "/events/7", Header: r.Header})
				if p != nil {
					b.Fatal(p)
				}
				release()
			}
		})
	}
}

func benchmarkGate(b *testing.B, text string) *gate {
	b.Helper()
	f := &callersFile{
		config: config.Config{CallersFile: b.TempDir() + "/callers.yaml", Upstreams: []config.Upstream{{Name: "park", Account: "park"}}},
		gate:   &gate{metrics: admin.NewMetrics("", true, nil, func() uint64 { return 0 })},
		log:    zap.NewNop(),
	}
	if err := os.WriteFile(f.config.CallersFile, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	if !f.update(false) {
		b.Fatal(f.Problem())
	}
	b.Cleanup(f.close)
	return f.gate
}

// signToken returns a token of the subject report, of about the size of a ServiceAccount's.
func signToken(b testing.TB, signer *ecdsa.PrivateKey, issuer string, lifetime time.Duration) string {
	b.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: signer, KeyID: "k"}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	claims, err := json.Marshal(map[string]any{
		"iss": issuer, "aud": "ticketproxy", "sub": "report", "exp": time.Now().Add(lifetime).Unix(), "pad": fmt.Sprintf("%0500d", 0),
	})
	if err != nil {
		b.Fatal(err)
	}
	signed, err := s.Sign(claims)
	if err != nil {
		b.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		b.Fatal(err)
	}
	return text
}
