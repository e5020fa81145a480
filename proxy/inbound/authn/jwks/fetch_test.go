package jwks

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// TestHostileIssuer tests what is refused of discovery documents and keys.
func TestHostileIssuer(t *testing.T) {
	t.Parallel()
	document := func(issuer, keys string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/keys" {
				return false
			}
			json.NewEncoder(w).Encode(map[string]string{"issuer": issuer, "jwks_uri": keys})
			return true
		}
	}
	at := func(path string, answer func(w http.ResponseWriter)) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == path {
				answer(w)
			}
			return r.URL.Path == path
		}
	}
	const discovery = "/tenant/.well-known/openid-configuration"
	for name, test := range map[string]struct {
		change func(http.ResponseWriter, *http.Request) bool
		want   string
	}{
		"nothing wrong":             {nil, "<nil>"},
		"the port that is default":  {document(issuerURL, "http://LOCALHOST:1/keys"), "<nil>"},
		"keys at another host":      {document(issuerURL, "http://elsewhere.localhost:1/keys"), "another origin"},
		"keys at another port":      {document(issuerURL, "http://localhost:2/keys"), "another origin"},
		"keys with another scheme":  {document(issuerURL, "https://localhost:1/keys"), "another origin"},
		"keys behind a user":        {document(issuerURL, "http://localhost:1@evil/keys"), "another origin"},
		"keys with a user":          {document(issuerURL, "http://u:p@localhost:1/keys"), "another origin"},
		"keys at a relative URL":    {document(issuerURL, "/keys"), "another origin"},
		"keys in a file":            {document(issuerURL, "file:///etc/passwd"), "another origin"},
		"no keys":                   {document(issuerURL, ""), "another origin"},
		"another issuer":            {document("http://localhost:1/other", "http://localhost:1/keys"), "of another issuer"},
		"an issuer with a slash":    {document(issuerURL+"/", "http://localhost:1/keys"), "of another issuer"},
		"a redirect":                {at(discovery, func(w http.ResponseWriter) { w.Header().Set("Location", "/keys"); w.WriteHeader(302) }), "answered 302"},
		"a redirect of the keys":    {at("/keys", func(w http.ResponseWriter) { w.Header().Set("Location", "/k"); w.WriteHeader(307) }), "answered 307"},
		"an error":                  {at("/keys", func(w http.ResponseWriter) { w.WriteHeader(500) }), "answered 500"},
		"a page":                    {at(discovery, func(w http.ResponseWriter) { fmt.Fprint(w, "<html>") }), "not JSON"},
		"a long document":           {at(discovery, func(w http.ResponseWriter) { w.Write(make([]byte, maxAnswer+1)) }), "longer than 1 MiB"},
		"long keys":                 {at("/keys", func(w http.ResponseWriter) { w.Write(make([]byte, maxAnswer+1)) }), "longer than 1 MiB"},
		"a long header":             {at("/keys", func(w http.ResponseWriter) { w.Header().Set("X", strings.Repeat("x", 70<<10)) }), "exceeded"},
		"keys that are none":        {at("/keys", func(w http.ResponseWriter) { fmt.Fprint(w, `{}`) }), "not a JWK Set"},
		"a list of keys":            {at("/keys", func(w http.ResponseWriter) { fmt.Fprint(w, `[]`) }), "not a JWK Set"},
		"an empty set":              {at("/keys", func(w http.ResponseWriter) { fmt.Fprint(w, `{"keys":[]}`) }), "no key for signatures"},
		"very many keys":            {at("/keys", func(w http.ResponseWriter) { fmt.Fprint(w, `{"keys":[`+strings.Repeat("{},", 256)+`{}]}`) }), "more than 256"},
		"a secret in place of keys": {at("/keys", func(w http.ResponseWriter) { fmt.Fprint(w, `{"keys":[{"kty":"oct","k":"AAAA","kid":"a"}]}`) }), "no key for signatures"},
	} {
		i := &fakeIssuer{keys: []jose.JSONWebKey{newKey(t, "a")}, change: test.change}
		_, err := (Config{Issuer: issuerURL, Dial: i.dial}).fetch(t.Context())
		if !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}

func TestIssuerURL(t *testing.T) {
	t.Parallel()
	for url, ok := range map[string]bool{
		"https://ci.example.com":      true,
		"https://ci.example.com/a/":   true,
		"http://127.0.0.1:8080":       true,
		"http://[::1]/":               true,
		"http://ci.example.com":       false,
		"http://127.0.0.1.nip.io":     false,
		"https://u:p@ci.example.com":  false,
		"https://ci.example.com?a=b":  false,
		"https://ci.example.com/#a":   false,
		"ftp://localhost":             false,
		"https:ci.example.com":        false,
		"kubernetes/serviceaccount":   false,
		"":                            false,
		"https://ci.example.com/\x00": false,
	} {
		if _, err := New(Config{Issuer: url}); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// TestKeys tests which keys are used, and for which algorithm.
func TestKeys(t *testing.T) {
	t.Parallel()
	rsaKey := func(bits int) *rsa.PublicKey {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return &key.PublicKey
	}
	ec := func(c elliptic.Curve) *ecdsa.PublicKey {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return &key.PublicKey
	}
	ed, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw := func(key any, more string) string {
		text, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "a"})
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(string(text), "}") + more + "}"
	}
	p256 := raw(ec(elliptic.P256()), "")
	for name, test := range map[string]struct{ key, want string }{
		"RSA 2048":               {raw(rsaKey(2048), ""), "RS256"},
		"RSA 1024":               {raw(rsaKey(1024), ""), ""},
		"P-256":                  {p256, "ES256"},
		"P-384":                  {raw(ec(elliptic.P384()), ""), ""},
		"P-521":                  {raw(ec(elliptic.P521()), ""), ""},
		"Ed25519":                {raw(ed, ""), "EdDSA"},
		"for signatures":         {raw(ed, `,"use":"sig"`), "EdDSA"},
		"for encryption":         {raw(ed, `,"use":"enc"`), ""},
		"to verify":              {raw(ed, `,"key_ops":["verify"]`), "EdDSA"},
		"to wrap":                {raw(ed, `,"key_ops":["wrapKey"]`), ""},
		"for its algorithm":      {raw(ec(elliptic.P256()), `,"alg":"ES256"`), "ES256"},
		"RSA for RS512":          {raw(rsaKey(2048), `,"alg":"RS512"`), ""},
		"RSA for PS256":          {raw(rsaKey(2048), `,"alg":"PS256"`), ""},
		"RSA for encryption":     {raw(rsaKey(2048), `,"alg":"RSA-OAEP"`), ""},
		"RSA for HS256":          {raw(rsaKey(2048), `,"alg":"HS256"`), ""},
		"a private key":          {raw(edPrivate, ""), ""},
		"a point off the curve":  {strings.Replace(p256, `"x":"`, `"x":"AAAA`, 1), ""},
		"a kind that nobody has": {`{"kty":"X","kid":"a"}`, ""},
		"no object":              {`"key"`, ""},
	} {
		got := ""
		if k := parseKey([]byte(test.key)); k != nil {
			got = k.Algorithm
		}
		if got != test.want {
			t.Errorf("%s: used for %q, want %q", name, got, test.want)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	var keys []jose.JSONWebKey
	for _, kid := range []string{"a", "b", "b", "c", "c", "c", "c", "c"} {
		keys = append(keys, newKey(t, kid))
	}
	text, _ := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	set, err := parseSet(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		kid, alg string
		want     int
	}{{"a", "ES256", 1}, {"b", "ES256", 2}, {"c", "ES256", sameName}, {"a", "RS256", 0}, {"A", "ES256", 0}, {"", "ES256", 0}} {
		if got := len(set.find(test.kid, test.alg)); got != test.want {
			t.Errorf("%q for %s: %d keys", test.kid, test.alg, got)
		}
	}
	if only := (&Set{set.keys[:1]}); len(only.find("", "ES256")) != 1 {
		t.Error("the only key is not found without its name")
	}
}

// TestCluster tests that the API server is asked with the pod's token and CA, and with
// neither anybody else.
func TestCluster(t *testing.T) {
	t.Parallel()
	answer, authorization := http.StatusOK, ""
	keys := []jose.JSONWebKey{newKey(t, "a")}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization = r.Header.Get("Authorization")
		if r.URL.Path != "/openid/v1/jwks" {
			answer = http.StatusNotFound
		}
		if !strings.Contains(r.Header.Get("Accept"), "application/jwk-set+json") { // as kube-apiserver 1.36 does
			answer = http.StatusNotAcceptable
		}
		w.WriteHeader(answer)
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: keys})
	}))
	defer server.Close()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		if err := os.WriteFile(dir+"/"+name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir + "/" + name
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	public := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header["Authorization"] != nil {
			t.Error("the pod's token went elsewhere")
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer public.Close()
	c := Config{Issuer: "https://kubernetes.default.svc.cluster.local", Kubernetes: &Kubernetes{
		Server: server.URL, TokenFile: write("token", []byte("canary\n")), CAFile: write("ca.crt", ca),
	}}
	set, err := c.fetch(t.Context())
	if err != nil || !set.Has(&Key{"a", "ES256", nil, set.keys[0].print}) || authorization != "Bearer canary" {
		t.Errorf("%v, sent %q", err, authorization)
	}
	answer = http.StatusForbidden
	if _, err := c.fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "answered 403") || strings.Contains(err.Error(), "canary") {
		t.Error(err)
	}
	c.Issuer = public.URL
	if _, err := c.fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "from the issuer") {
		t.Error(err)
	}
	c.CAFile = write("public.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public.Certificate().Raw}))
	if _, err := c.fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "openid-configuration answered 403") {
		t.Error(err)
	}
	c.Kubernetes.CAFile = write("other.crt", []byte("none"))
	if _, err := c.fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "no certificate in PEM") {
		t.Error(err)
	}
}

// TestFilesThatAreNone tests that a pipe in the place of a file does not hold up a fetch.
func TestFilesThatAreNone(t *testing.T) {
	t.Parallel()
	pipe := t.TempDir() + "/ca.crt"
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{
		{Issuer: issuerURL, CAFile: pipe},
		{Issuer: issuerURL, Kubernetes: &Kubernetes{Server: "https://127.0.0.1:1", TokenFile: pipe, CAFile: pipe}},
	} {
		if _, err := c.fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "is not a file of at most 4 MiB") {
			t.Error(err)
		}
	}
}
