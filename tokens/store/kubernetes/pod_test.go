package kubernetes

import (
	"encoding/base64"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

// tokenWith returns a JWT with those claims.
func tokenWith(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2lnbmF0dXJl"
}

const boundClaims = `{"aud":["https://kubernetes.default.svc"],"kubernetes.io":{"namespace":"tickets",` +
	`"node":{"name":"n1","uid":"u2"},"pod":{"name":"app-7d9f-x2k","uid":"0b1c-22"},"serviceaccount":{"name":"app","uid":"u3"}}}`

func TestPodOf(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]string{
		tokenWith(boundClaims):                                       "tickets/app-7d9f-x2k/0b1c-22/",
		tokenWith(boundClaims) + "\n":                                "tickets/app-7d9f-x2k/0b1c-22/",
		tokenWith(`{"kubernetes.io":{"namespace":"a"}}`):             "",
		tokenWith(strings.ReplaceAll(boundClaims, "22", "")):         "tickets/app-7d9f-x2k/0b1c-/",
		tokenWith(strings.ReplaceAll(boundClaims, "tickets", "a/b")): "",
		tokenWith(strings.ReplaceAll(boundClaims, "0b1c-22", "")):    "",
		tokenWith(`[]`): "",
		"a.b.c":         "",
		"a token":       "",
		"":              "",
	} {
		if got := podOf(token); got != want {
			t.Errorf("%q: %q, want %q", token, got, want)
		}
	}
}

func FuzzPodOf(f *testing.F) {
	f.Add(boundClaims)
	f.Fuzz(func(t *testing.T, claims string) {
		if got := podOf(tokenWith(claims)); got != "" && !regexp.MustCompile(`^([a-z0-9.-]{1,253}/){3}$`).MatchString(got) {
			t.Errorf("%q", got)
		}
		podOf(claims)
	})
}

// TestHolder tests that a process of a pod which has ended is told from one that runs, and
// from one of which nothing is known.
func TestHolder(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	s, other := f.open(t), f.open(t)
	other.client.pod = "tickets/app/0b1c/"
	if got := other.Holder(); !strings.HasPrefix(got, "tickets/app/0b1c/") || got == s.Holder() {
		t.Errorf("holder %s", got)
	}
	next := storetest.Record(1)
	next.Intent = &tokens.Intent{ID: "x", Holder: other.Holder(), Start: time.Now(), Try: 1}
	storetest.MustSwap(t, other.Account("park"), "", next)
	a := s.Account("park")
	for _, holder := range []string{other.Holder(), s.Holder(), "tickets/app/0b1c/", ""} {
		if goneLater(t, a, holder) {
			t.Errorf("%q is gone", holder)
		}
	}
	lock := "/dev/shm/ticketproxy." + other.presence.Holder() + ".holder"
	if _, err := os.Stat(lock); err != nil {
		t.Skipf("no lock on a tmpfs: %v", err)
	}
	t.Cleanup(func() { os.Remove(lock) })
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if !goneLater(t, a, other.Holder()) {
		t.Error("a holder that has ended is not gone")
	}
}

// goneLater reports whether a holder is gone a second after it was first asked for.
func goneLater(t *testing.T, p tokens.Presence, holder string) (gone bool) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		p.Gone(holder)
		time.Sleep(time.Second)
		gone = p.Gone(holder)
	})
	return gone
}
