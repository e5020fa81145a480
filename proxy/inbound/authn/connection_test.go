package authn

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"ticketproxy/config/callers"
	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/inbound/authn/jwks"
)

// TestCertificates tests which client certificates prove a caller. The handshake itself is
// tested in inbound.
func TestCertificates(t *testing.T) {
	t.Parallel()
	virtual(t, func(t *testing.T, f *fixture) {
		state := func(uris ...string) *tls.ConnectionState {
			c := &x509.Certificate{NotAfter: time.Now().Add(time.Hour)}
			for _, uri := range uris {
				u, err := url.Parse(uri)
				if err != nil {
					t.Fatal(err)
				}
				c.URIs = append(c.URIs, u)
			}
			return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}, VerifiedChains: [][]*x509.Certificate{{c}}}
		}
		const uri = "spiffe://example.org/ns/erp/sa/web"
		unverified, expired := state(uri), state(uri)
		unverified.VerifiedChains = nil
		expired.PeerCertificates[0].NotAfter = time.Now().Add(-time.Minute)
		const auth = "Authorization"
		n := 0
		for name, test := range map[string]struct {
			tls    *tls.ConnectionState
			fields []string
			want   string
		}{
			"a caller's":                      {state(uri), nil, "erp by certificate"},
			"the pattern's own":               {state("spiffe://example.org/ns/erp"), nil, "erp by certificate"},
			"one whose name goes on":          {state("spiffe://example.org/ns/erp2"), nil, "is no caller's"},
			"a dot segment":                   {state("spiffe://example.org/ns/erp/../shop"), nil, "is no caller's"},
			"another trust domain":            {state("spiffe://example.org.evil/ns/erp"), nil, "is no caller's"},
			"without a URI":                   {state(), nil, "has 0 URI SANs"},
			"with two":                        {state(uri, "spiffe://example.org/ns/shop"), nil, "has 2 URI SANs"},
			"not verified":                    {unverified, nil, "of no CA that is trusted"},
			"expired since the handshake":     {expired, nil, "expired 60 s ago"},
			"no certificate":                  {&tls.ConnectionState{}, nil, "proves no caller"},
			"beside the app's Authorization":  {state(uri), []string{auth, "Bearer of-the-app"}, "erp by certificate"},
			"beside a key in Authorization":   {state(uri), []string{auth, "Bearer " + f.key}, "erp by certificate"},
			"beside a proxy's key":            {state(uri), []string{"Proxy-Authorization", "Bearer " + f.key}, "shop by key"},
			"beside a proxy's key of nobody":  {state(uri), []string{"Proxy-Authorization", "Bearer x"}, "neither a key"},
			"of nobody, and a key":            {state("spiffe://x/y"), []string{auth, "Bearer " + f.key}, "shop by key"},
			"of nobody, and a key of nobody":  {state("spiffe://x/y"), []string{auth, "Bearer x"}, "neither a key"},
			"of nobody, and a SAN to mislead": {state("spiffe://x/%0a\u202e"), nil, `is no caller's`},
		} {
			r := request(test.fields...)
			n++
			r.TLS, r.RemoteAddr = test.tls, fmt.Sprintf("192.0.2.%d:1", n)
			if got := f.ask(r); !strings.Contains(got, test.want) || strings.ContainsAny(got, "\n\u202e") {
				t.Errorf("%s: %s, want %s", name, got, test.want)
			}
		}
		f.trusts = func(*tls.ConnectionState) bool { return false }
		r := request()
		r.TLS = state(uri)
		if got := f.ask(r); !strings.Contains(got, "of no CA that is trusted") {
			t.Errorf("of a CA that was removed: %s", got)
		}
	})
}

// TestPeer tests that a Unix socket's peer proves a caller, over a real socket.
func TestPeer(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("peers are known on Linux and macOS")
	}
	f := newFixture(t)
	defer f.Close()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := inbound.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, f.ask(r))
	}), inbound.NewConnLimiter(10, 1<<20, nil), nil)
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	uid := uint32(os.Geteuid())
	ask := func(users map[uint32]string, authorization string) string {
		f.byUID = map[uint32]inbound.Caller{}
		for uid, name := range users {
			f.byUID[uid] = inbound.Caller{Name: name, Proof: "uid"}
		}
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n%sConnection: close\r\n\r\n", authorization)
		text, _ := io.ReadAll(conn)
		return string(text)
	}
	key := "Authorization: Bearer " + f.key + "\r\n"
	for _, test := range []struct {
		users         map[uint32]string
		authorization string
		want          string
	}{
		{map[uint32]string{uid: "shop"}, "", "shop by uid"},
		{map[uint32]string{uid: "report"}, key, "report by uid"},
		{map[uint32]string{uid + 1: "shop"}, "", fmt.Sprintf("the user %d of the connection's peer is no caller's", uid)},
		{map[uint32]string{uid + 1: "report"}, key, "shop by key"},
		{nil, key, "shop by key"},
	} {
		if got := ask(test.users, test.authorization); !strings.Contains(got, test.want) {
			t.Errorf("%v: %s, want %s", test.users, got, test.want)
		}
	}
	s.Drain(t.Context())
	<-done
}

// TestKubernetesIssuer tests that the pod's own token names the issuer, and the audiences with
// which a token is good at the API server.
func TestKubernetesIssuer(t *testing.T) {
	t.Parallel()
	issuers := newFakeIssuers()
	path := filepath.Join(t.TempDir(), "token")
	own := valid().with("iss", "https://kubernetes.default.svc.cluster.local", "aud", []string{"https://kubernetes.default.svc.cluster.local", "k3s"})
	build := func(own, audience string) (*Authenticator, error) {
		if err := os.WriteFile(path, []byte(own), 0o600); err != nil {
			t.Fatal(err)
		}
		return New(Config{
			File: callers.File{
				Issuers: map[string]callers.Issuer{"cluster": {Kubernetes: true, Audiences: []string{audience}}},
				Callers: map[string]callers.Caller{"report": {JWTs: []callers.JWT{{
					Issuer: "cluster", Subject: callers.Pattern{Text: "system:serviceaccount:tickets:report"},
				}}}},
			},
			Kubernetes: &jwks.Kubernetes{Server: "https://10.0.0.1:443", TokenFile: path, CAFile: path},
			Dial:       issuers.dial,
		})
	}
	a, err := build(own.String()+"\n", "ticketproxy")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	k := valid().with("iss", "https://kubernetes.default.svc.cluster.local", "sub", "system:serviceaccount:tickets:report")
	for name, test := range map[string]struct {
		token token
		want  string
	}{
		"with our audience":                    {k, "keys of the issuer cluster cannot be fetched"},
		"a token of before 1.24, without aud":  {k.with("aud", nil), "no audience"},
		"the API server's audience beside":     {k.with("aud", []string{"ticketproxy", "k3s"}), "good at its issuer's own API"},
		"a default token":                      {own, "good at its issuer's own API"},
		"the issuer of another cluster":        {k.with("iss", "https://kubernetes.default.svc"), "is not listed"},
		"the issuer of tokens in Secrets":      {k.with("iss", "kubernetes/serviceaccount"), "is not listed"},
		"an audience of the API server's name": {k.with("aud", []string{"ticketproxy", "kubernetes.default.svc"}), "good at its issuer's own API"},
	} {
		if got := outcome(a.Authenticate(bearer(test.token.String()))); !strings.Contains(got, test.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
	for own, want := range map[string]string{
		"":                             "not a token of a ServiceAccount",
		"a.b.c":                        "not a token of a ServiceAccount",
		own.with("iss", nil).String():  "not a token of a ServiceAccount",
		own.with("aud", "x").String():  "<nil>",
		own.with("aud", nil).String():  "<nil>",
		"\xff" + own.String() + "more": "not a token of a ServiceAccount",
	} {
		other, err := build(own, "ticketproxy")
		if err == nil {
			other.Close()
		}
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for _, audience := range []string{"k3s", "https://kubernetes.default.svc.cluster.local", "https://kubernetes.default.svc"} {
		if _, err := build(own.String(), audience); err == nil || !strings.Contains(err.Error(), "choose another") {
			t.Errorf("the audience %s: %v", audience, err)
		}
	}
	if _, err := New(Config{File: callers.File{Issuers: map[string]callers.Issuer{"c": {Kubernetes: true}}}}); err == nil || !strings.Contains(err.Error(), "not a pod") {
		t.Error(err)
	}
	os.Remove(path)
	if _, err := readOwnToken(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
}

// TestConfigMistakes tests what New refuses that callers.Parse lets pass.
func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	issuer := func(url string) callers.Issuer { return callers.Issuer{URL: url, Audiences: []string{"ticketproxy"}} }
	for want, c := range map[string]Config{
		"shorter than 32 bytes": {PlaceholderKey: []byte("short")},
		"keep one of the two":   {File: callers.File{Issuers: map[string]callers.Issuer{"a": issuer("https://a.example"), "b": issuer("https://a.example")}}},
		"is not https":          {File: callers.File{Issuers: map[string]callers.Issuer{"a": issuer("http://a.example")}}},
		"not in the file":       {File: callers.File{Callers: map[string]callers.Caller{"a": {JWTs: []callers.JWT{{Issuer: "x"}}}}}},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
