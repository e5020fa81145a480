package authn

import (
	"crypto/rand"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// BenchmarkProof measures what proves a caller. A request that is served costs about 45 µs of
// CPU beside it (proxy.BenchmarkProxy).
func BenchmarkProof(b *testing.B) {
	f := newFixture(b)
	defer f.Close()
	placeholder, err := f.NewPlaceholder("report", time.Now().Add(time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	k := valid().String()
	for name, r := range map[string]*http.Request{
		"key":         bearer(f.key),
		"basic":       request("Authorization", basic("shop", f.key)),
		"remembered":  bearer(k),
		"placeholder": bearer(placeholder.Reveal()),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, p := f.Authenticate(r); p != nil {
					b.Fatal(p)
				}
			}
		})
	}
	for _, signer := range []string{"rsa", "ec", "ed"} {
		alg := map[string]string{"rsa": "RS256", "ec": "ES256", "ed": "EdDSA"}[signer]
		r := bearer(valid().head("alg", alg, "kid", signer).by(signer).String())
		b.Run("new "+alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, p := f.Authenticate(r); p != nil {
					b.Fatal(p)
				}
				f.verified = verified{}
			}
		})
	}
}

// BenchmarkStranger measures a request that is refused, with the writing of the answer. Each
// is a flood of one kind from one address; the first twenty are answered 401.
func BenchmarkStranger(b *testing.B) {
	f := newFixture(b)
	defer f.Close()
	f.ask(bearer(valid().String()))
	unknown, _ := NewKey()
	for _, test := range []struct {
		name string
		r    *http.Request
	}{
		{"nothing", request()},
		{"unknown key", bearer(unknown.Reveal())},
		{"no credential", request("Authorization", "Bearer x")},
		{"unlisted issuer", bearer(valid().with("iss", "x").String())},
		{"expired", bearer(valid().with("exp", 1).String())},
		{"unknown kid", bearer(valid().head("kid", "x").String())},
		{"forged signature", bearer(valid().by("stranger").String())},
		{"forged RS256", bearer(valid().head("alg", "RS256", "kid", "rsa").String())},
		{"certificates in the header", bearer(valid().head("x5c", [][]byte{certificate(b)}).by("stranger").String())},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, p := f.Authenticate(test.r)
				p.Answer(httptest.NewRecorder())
			}
		})
	}
	if n := f.issuers.fetches; n > 4 {
		b.Errorf("%d fetches", n)
	}
}

func certificate(b *testing.B) []byte {
	template := &x509.Certificate{NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signers()["rsa"].Public(), signers()["rsa"])
	if err != nil {
		b.Fatal(err)
	}
	return der
}
