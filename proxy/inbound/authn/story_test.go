package authn

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"ticketproxy/config/callers"
	"ticketproxy/proxy/inbound/authn/jwks"
)

// TestRememberedUntilItExpires tests that a token is verified once, and not accepted longer
// than it says.
func TestRememberedUntilItExpires(t *testing.T) {
	t.Parallel()
	virtual(t, func(t *testing.T, f *fixture) {
		k := valid().String()
		for range 659 { // 600 s and the leeway
			if got := f.ask(bearer(k)); got != "nightly by token" {
				t.Fatal(got)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second)
		if got := f.ask(bearer(k)); !strings.Contains(got, "expired 60 s ago") {
			t.Error(got)
		}
		if n := len(f.verified.tokens); n != 1 {
			t.Errorf("%d tokens are remembered", n)
		}
	})
}

// TestRevokedKey tests that a token is refused when its key has gone from the issuer's set, also
// one that is remembered, and that an issuer that is down makes no difference for a day.
func TestRevokedKey(t *testing.T) {
	t.Parallel()
	virtual(t, func(t *testing.T, f *fixture) {
		k := valid().with("exp", time.Now().Add(100*time.Hour).Unix()).String()
		f.ask(bearer(k))
		f.issuers.set(func() { f.issuers.down = true })
		time.Sleep(23 * time.Hour)
		if got := f.ask(bearer(k)); got != "nightly by token" {
			t.Error(got)
		}
		time.Sleep(2 * time.Hour)
		r := bearer(k)
		if _, p := f.Authenticate(r); p == nil || !strings.Contains(p.Detail, "cannot be fetched now") || p.RetryAfter == 0 {
			t.Error(p)
		}
		f.issuers.set(func() { f.issuers.down = false })
		time.Sleep(10 * time.Second)
		if got := f.ask(bearer(k)); got != "nightly by token" {
			t.Error(got)
		}
		f.issuers.set(func() { f.issuers.keys[ciURL] = f.issuers.keys[ciURL][:1] })
		time.Sleep(5*time.Minute + time.Second)
		f.ask(bearer(k)) // has the keys fetched
		synctest.Wait()
		if got := f.ask(bearer(k)); !strings.Contains(got, "key is not one of") {
			t.Error(got)
		}
		f.issuers.set(func() { f.issuers.keys[ciURL] = []jose.JSONWebKey{public("next", "ec")} })
		time.Sleep(10 * time.Second)
		if got := f.ask(bearer(k)); !strings.Contains(got, "signature") {
			t.Errorf("another key of that name: %s", got)
		}
	})
}

// TestRotationUnderLoad tests that an issuer which publishes a key before it uses it has no
// token refused, while strangers ask for keys that do not exist.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	virtual(t, func(t *testing.T, f *fixture) {
		var all sync.WaitGroup
		stop := make(chan struct{})
		for n := range 8 {
			all.Go(func() { // strangers
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					case <-time.After(time.Second):
					}
					r := bearer(valid().head("kid", fmt.Sprint("flood", i)).by("none").String())
					r.RemoteAddr = fmt.Sprintf("198.51.100.%d:1", n)
					f.Authenticate(r)
				}
			})
		}
		kid, signer := "ec", "ec"
		for minute := range 20 {
			switch minute {
			case 3:
				f.issuers.set(func() { f.issuers.keys[ciURL] = append(f.issuers.keys[ciURL], public("next", "next")) })
			case 9:
				kid, signer = "next", "next"
			case 15:
				f.issuers.set(func() { f.issuers.keys[ciURL] = f.issuers.keys[ciURL][3:] })
			}
			for range 60 {
				time.Sleep(time.Second)
				if got := f.ask(bearer(valid().head("kid", kid).by(signer).String())); got != "nightly by token" {
					t.Fatalf("minute %d: %s", minute, got)
				}
			}
		}
		close(stop)
		all.Wait()
		if n := f.issuers.fetches; n > 121 { // in 20 min
			t.Errorf("%d fetches", n)
		}
	})
}

// TestVerifiedIsBounded tests that the token that was verified first is dropped.
func TestVerifiedIsBounded(t *testing.T) {
	t.Parallel()
	virtual(t, func(t *testing.T, f *fixture) {
		f.ask(bearer(valid().String()))
		var some *verifiedToken
		for _, some = range f.verified.tokens {
		}
		for i := range maxVerified + 10 {
			f.verified.put([32]byte{byte(i), byte(i >> 8), 1}, some)
			f.verified.put([32]byte{byte(i), byte(i >> 8), 1}, some)
		}
		if len(f.verified.tokens) != maxVerified || len(f.verified.order) != maxVerified {
			t.Errorf("%d tokens, %d in order", len(f.verified.tokens), len(f.verified.order))
		}
		if _, ok := f.verified.tokens[[32]byte{5, 0, 1}]; ok {
			t.Error("an old token is remembered")
		}
		if _, ok := f.verified.tokens[[32]byte{20, 0, 1}]; !ok {
			t.Error("a newer token is not remembered")
		}
	})
}

// TestReload tests what a new file changes, and what stays.
func TestReload(t *testing.T) {
	t.Parallel()
	virtual(t, func(t *testing.T, f *fixture) {
		k := valid().String()
		f.ask(bearer(k))
		placeholder := func(caller string) string {
			p, err := f.NewPlaceholder(caller, time.Now().Add(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			return p.Reveal()
		}
		ofShop, ofReport, ofRobot := placeholder("shop"), placeholder("report"), placeholder("robot")
		next := f.config
		next.Previous = f.Authenticator
		next.File.Callers = map[string]callers.Caller{}
		for name, c := range f.config.File.Callers {
			next.File.Callers[name] = c
		}
		_, digest := NewKey()
		shop := next.File.Callers["shop"]
		shop.Keys = [][32]byte{digest}
		next.File.Callers["shop"] = shop
		report := next.File.Callers["report"]
		report.Tokens, report.May = []string{"park"}, []callers.Rule{{Upstream: "*"}}
		next.File.Callers["report"] = report
		next.File.Callers["nightly"] = callers.Caller{JWTs: []callers.JWT{nightly("project:43:", true)}}
		delete(next.File.Callers, "robot")
		f.issuers.set(func() { f.issuers.fetches = 0 })
		a, err := New(next)
		if err != nil {
			t.Fatal(err)
		}
		f.Authenticator = a
		for credential, want := range map[string]string{
			f.key:    "unknown key",
			f.report: "report by key",
			k:        `subject "project:42:x" is no caller's`,
			valid().with("sub", "project:43:x").String(): "nightly by token",
			ofShop:   "has other keys now",
			ofReport: "report by placeholder",
			ofRobot:  "who has gone",
		} {
			if got := f.ask(bearer(credential)); !strings.Contains(got, want) {
				t.Errorf("%s, want %s", got, want)
			}
		}
		if f.issuers.fetches != 0 {
			t.Error("the keys of an unchanged issuer were fetched again")
		}
		next.Previous = a
		next.File.Issuers = map[string]callers.Issuer{"ci": {URL: ciURL, Audiences: []string{ciURL}}}
		if _, err := New(next); err == nil {
			t.Error("a file with a reserved audience is taken")
		}
		if got := f.ask(bearer(f.report)); got != "report by key" {
			t.Errorf("after a file that was not taken: %s", got)
		}
		next.File.Issuers = map[string]callers.Issuer{"ci": f.config.File.Issuers["ci"]}
		if f.Authenticator, err = New(next); err != nil {
			t.Fatal(err)
		}
		gone, kept := a.issuers[otherURL].keys, a.issuers[ciURL].keys
		time.Sleep(time.Minute)
		if _, _, err := gone.Find(t.Context(), "ec", "ES256"); !errors.Is(err, jwks.ErrNoKeys) {
			t.Errorf("an issuer that is gone from the file is asked: %v", err)
		}
		if _, _, err := kept.Find(t.Context(), "ec", "ES256"); err != nil {
			t.Errorf("an issuer that stays: %v", err)
		}
	})
}
