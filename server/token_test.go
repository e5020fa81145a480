package server

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/config"
	"ticketproxy/secret"
	"ticketproxy/tokens"
)

// TestTokenOfAReader tests that a reader hands out what is stored, and neither waits for nor
// causes a refresh.
func TestTokenOfAReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &accessBackend{}
		b.set(tokens.Record{Generation: 3, Grant: tokens.Grant{
			AccessToken: secret.New("a"), Obtained: time.Now(), Expiry: time.Now().Add(time.Hour),
		}}, nil)
		u := config.Upstream{Name: "park", Account: "park"}
		start := time.Now()
		h, err := readToken(t.Context(), b, u, 2*time.Hour)
		if err != nil || h.Generation != 3 || h.AccessToken.Reveal() != "a" || time.Since(start) != 0 {
			t.Errorf("generation %d after %v, error %v", h.Generation, time.Since(start), err)
		}
		b.set(tokens.Record{Generation: 3, Dead: &tokens.Death{Reason: "revoked", At: time.Now()}}, nil)
		if _, err := readToken(t.Context(), b, u, 0); !errors.As(err, new(*tokens.DeadError)) {
			t.Errorf("of a dead account: %v", err)
		}
		b.set(tokens.Record{}, tokens.ErrNone)
		if _, err := readToken(t.Context(), b, u, 0); !errors.As(err, new(*tokens.UnavailableError)) {
			t.Errorf("without a token: %v", err)
		}
	})
}
