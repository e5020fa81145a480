package sandbox_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/sandbox"
)

func TestAccessTokenLifetime(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		options   sandbox.Options
		lifetime  map[string]time.Duration
		expiresIn map[string]int
	}{
		{
			sandbox.Options{},
			map[string]time.Duration{"socialboards": time.Hour, "openticket": 72 * time.Hour, "ticketpark": 10 * time.Minute},
			map[string]int{"socialboards": 3599, "openticket": 259200, "ticketpark": 600},
		},
		{
			sandbox.Options{AccessLifetime: 10 * time.Second},
			map[string]time.Duration{"socialboards": 10 * time.Second, "openticket": 10 * time.Second, "ticketpark": 10 * time.Second},
			map[string]int{"socialboards": 10, "openticket": 10, "ticketpark": 10},
		},
	} {
		for i := range 3 {
			synctest.Test(t, func(t *testing.T) {
				p := sandbox.New(x.options).Providers()[i]
				g := refresh(t, p, p.Seed())
				if g.ExpiresIn != x.expiresIn[p.Name] {
					t.Errorf("%s: expires_in %d, want %d", p.Name, g.ExpiresIn, x.expiresIn[p.Name])
				}
				time.Sleep(x.lifetime[p.Name] - 1)
				mustAccept(t, p, g.AccessToken)
				time.Sleep(time.Nanosecond)
				mustReject(t, p, g.AccessToken)
			})
		}
	}
}

func TestRefreshTokenExpires(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name     string
		provider func(*sandbox.Sandbox) *sandbox.Provider
		lifetime time.Duration // 0: does not expire
		want     string
	}{
		{"socialboards", func(s *sandbox.Sandbox) *sandbox.Provider { return s.SocialBoards }, 0, ""},
		{"openticket", func(s *sandbox.Sandbox) *sandbox.Provider { return s.OpenTicket }, 365 * 24 * time.Hour, `"hint":"Token has expired"`},
		{"ticketpark", func(s *sandbox.Sandbox) *sandbox.Provider { return s.Ticketpark }, 14 * 24 * time.Hour, `"error_description":"Refresh token has expired"`},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := x.provider(sandbox.New(sandbox.Options{}))
				one, other := p.Seed(), p.Seed()
				if x.lifetime == 0 {
					time.Sleep(20 * 365 * 24 * time.Hour)
					refresh(t, p, one)
					return
				}
				time.Sleep(x.lifetime - 1)
				refresh(t, p, one)
				time.Sleep(time.Nanosecond)
				w, _ := serve(p, refreshCall(p, other))
				if !strings.Contains(w.Body.String(), x.want) {
					t.Errorf("got %s", w.Body)
				}
			})
		})
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	forEachProvider(t, sandbox.Options{Rotate: true}, func(t *testing.T, p *sandbox.Provider) {
		seed := p.Seed()
		first := refresh(t, p, seed)
		if first.RefreshToken == seed {
			t.Fatal("the refresh token came back unchanged")
		}
		mustAccept(t, p, first.AccessToken)
		second := refresh(t, p, first.RefreshToken)
		mustAccept(t, p, second.AccessToken)
		if p.Name == "openticket" {
			mustReject(t, p, first.AccessToken)
		} else {
			mustAccept(t, p, first.AccessToken)
		}
		mustRefuseRefresh(t, p, first.RefreshToken)
		mustRefuseRefresh(t, p, seed)
		mustAccept(t, p, second.AccessToken)
		refresh(t, p, second.RefreshToken)
		c := p.Counters()
		if c.Redemptions != 3 || c.MaxRedemptions != 1 || c.Reuses != 2 || c.InvalidGrants != 2 || c.FamiliesRevoked != 0 || c.TokenRequests != 5 {
			t.Errorf("counters: %+v", c)
		}
	})
}

func TestSocialBoardsReturnsItsTokenUnchanged(t *testing.T) {
	t.Parallel()
	p := sandbox.New(sandbox.Options{ReuseDetection: true}).SocialBoards
	seed := p.Seed()
	first, second := refresh(t, p, seed), refresh(t, p, seed)
	if first.RefreshToken != seed || second.RefreshToken != seed {
		t.Error("the refresh token changed")
	}
	mustAccept(t, p, first.AccessToken)
	mustAccept(t, p, second.AccessToken)
	if c := p.Counters(); c.MaxRedemptions != 2 || c.Reuses != 0 {
		t.Errorf("counters: %+v", c)
	}
}

func TestReuseRevokesTheFamily(t *testing.T) {
	t.Parallel()
	forEachProvider(t, sandbox.Options{Rotate: true, ReuseDetection: true}, func(t *testing.T, p *sandbox.Provider) {
		seed, other := p.Seed(), refresh(t, p, p.Seed())
		first := refresh(t, p, seed)
		second := refresh(t, p, first.RefreshToken)
		mustRefuseRefresh(t, p, seed)
		for _, token := range []string{first.AccessToken, second.AccessToken} {
			mustReject(t, p, token)
		}
		mustRefuseRefresh(t, p, second.RefreshToken)
		mustRefuseRefresh(t, p, seed)
		mustAccept(t, p, other.AccessToken)
		refresh(t, p, other.RefreshToken)
		if c := p.Counters(); c.FamiliesRevoked != 1 || c.Reuses != 2 {
			t.Errorf("counters: %+v", c)
		}
	})
}

func TestReuseWithinGrace(t *testing.T) {
	t.Parallel()
	for i := range 3 {
		synctest.Test(t, func(t *testing.T) {
			p := sandbox.New(sandbox.Options{Rotate: true, ReuseDetection: true, Grace: 30 * time.Second}).Providers()[i]
			seed := p.Seed()
			lost := refresh(t, p, seed)
			time.Sleep(20 * time.Second)
			again := refresh(t, p, seed)
			if again.RefreshToken == lost.RefreshToken || again.AccessToken == lost.AccessToken {
				t.Error("the pair is not new")
			}
			mustAccept(t, p, again.AccessToken)
			// The grace is counted from the first redemption, not the last.
			time.Sleep(10*time.Second - 1)
			refresh(t, p, seed)
			time.Sleep(time.Nanosecond)
			mustRefuseRefresh(t, p, seed)
			mustReject(t, p, again.AccessToken)
			mustRefuseRefresh(t, p, again.RefreshToken)
			if c := p.Counters(); c.MaxRedemptions != 3 || c.Reuses != 3 || c.FamiliesRevoked != 1 {
				t.Errorf("counters: %+v", c)
			}
		})
	}
}

func TestRevokeAccess(t *testing.T) {
	t.Parallel()
	forEachProvider(t, sandbox.Options{}, func(t *testing.T, p *sandbox.Provider) {
		g := refresh(t, p, p.Seed())
		p.RevokeAccess()
		mustReject(t, p, g.AccessToken)
		mustAccept(t, p, refresh(t, p, g.RefreshToken).AccessToken)
	})
}

func TestRevokeAll(t *testing.T) {
	t.Parallel()
	forEachProvider(t, sandbox.Options{}, func(t *testing.T, p *sandbox.Provider) {
		g, seed := refresh(t, p, p.Seed()), p.Seed()
		p.RevokeAll()
		mustReject(t, p, g.AccessToken)
		mustRefuseRefresh(t, p, g.RefreshToken)
		mustRefuseRefresh(t, p, seed)
		mustAccept(t, p, newAccessToken(t, p))
	})
}

// One refresh token is redeemed once by many concurrent requests.
func TestConcurrentRedemptions(t *testing.T) {
	t.Parallel()
	for i := range 3 {
		synctest.Test(t, func(t *testing.T) {
			p := sandbox.New(sandbox.Options{Rotate: true}).Providers()[i]
			p.SetFaults(sandbox.Faults{SlowBeforeCommit: time.Second, SlowAfterCommit: time.Second})
			seed := p.Seed()
			codes := make(chan int)
			for range 8 {
				go func() {
					w, _ := serve(p, refreshCall(p, seed))
					codes <- w.Code
				}()
			}
			granted := 0
			for range 8 {
				if <-codes == http.StatusOK {
					granted++
				}
			}
			if granted != 1 {
				t.Errorf("%s: %d of 8 were granted", p.Name, granted)
			}
		})
	}
}
