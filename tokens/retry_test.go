package tokens_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/memory"
)

// An issuer that refused the client is asked again soon when the credentials may
// have changed. No other wait is cut short by that.
func TestRetryAfterNewCredentials(t *testing.T) {
	for class, soon := range map[tokens.Class]bool{tokens.Refused: true, tokens.Throttled: false} {
		t.Run(class.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newIssuer(time.Hour)
				i.fault = func(try int) (before, after error) {
					if try == 1 {
						before = &tokens.IssuerError{Class: class, Status: 401, RetryAfter: time.Minute}
					}
					return before, nil
				}
				r := newRefresher(i, new(memory.Store), i.seed())
				start(t, r)
				time.Sleep(time.Second)
				r.Retry()
				time.Sleep(2 * time.Second)
				if usable := r.Status().Usable; usable != soon {
					t.Errorf("usable %v", usable)
				}
			})
		})
	}
}

// A lateRefusal refuses the client two seconds after its first request.
type lateRefusal struct {
	tokens.Issuer
	requests int
}

func (l *lateRefusal) Refresh(ctx context.Context, token secret.String) (tokens.Grant, error) {
	if l.requests++; l.requests == 1 {
		time.Sleep(2 * time.Second)
		return tokens.Grant{}, &tokens.IssuerError{Class: tokens.Refused, Status: 401}
	}
	return l.Issuer.Refresh(ctx, token)
}

// Credentials that change while a token request is under way count for the next one.
func TestRetryDuringATokenRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Hour)
		r := newRefresher(&lateRefusal{Issuer: i}, new(memory.Store), i.seed())
		start(t, r)
		time.Sleep(time.Second)
		r.Retry()
		time.Sleep(3 * time.Second)
		if !r.Status().Usable {
			t.Errorf("not asked again: %+v", r.Status())
		}
	})
}
