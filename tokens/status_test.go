package tokens_test

import (
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store/memory"
)

// The status has the time of the next refresh, ahead of the token's end. A dead account
// has none.
func TestStatusHasTheNextRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Hour)
		r := newRefresher(i, new(memory.Store), i.seed())
		start(t, r)
		mustServe(t, r, i)
		got := r.Status()
		if early, late := time.Now().Add(30*time.Minute), time.Now().Add(50*time.Minute); got.State != tokens.Ready ||
			got.NextRefresh.Before(early) || got.NextRefresh.After(late) {
			t.Errorf("%s, next refresh in %v", got.State, time.Until(got.NextRefresh))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := new(memory.Store)
		put(t, s, func(r *tokens.Record) {
			r.Grant.RefreshToken, r.Dead = secret.New("spent"), &tokens.Death{Reason: "it was spent", At: time.Now()}
		})
		r := newRefresher(newIssuer(time.Hour), s, secret.String{})
		start(t, r)
		time.Sleep(3 * time.Second)
		got := r.Status()
		if got.State != tokens.Dead || !got.NextRefresh.IsZero() || got.Error != "it was spent" || got.ErrorAt.IsZero() {
			t.Errorf("%+v", got)
		}
	})
}
