package e2e

import (
	"strings"
	"testing"
	"time"
)

// A volume holds a state directory and can block writes to it.
type volume struct {
	newDir      func(t *testing.T) string
	prepare     func(t *testing.T, p *proxy) // prepares p for the volume
	blockWrites func(t *testing.T, dir string)
	allowWrites func(t *testing.T, dir string)
}

const (
	unwritableLifetime = 4 * time.Second
	recoveryTime       = time.Minute // the longest backoff
)

// testUnwritable checks what the program does when the volume blocks writes.
func testUnwritable(t *testing.T, v volume) {
	for name, scenario := range map[string]func(*volumeFixture){
		"between refreshes":                (*volumeFixture).betweenRefreshes,
		"during a refresh":                 (*volumeFixture).duringRefresh,
		"terminated with an unsaved token": (*volumeFixture).terminatedUnsaved,
		"ended with an unsaved token":      (*volumeFixture).endedUnsaved,
	} {
		for _, account := range []string{"openticket", "socialboards", "ticketpark"} {
			t.Run(name+"/"+account, func(t *testing.T) {
				t.Parallel()
				scenario(newVolumeFixture(t, v, account))
			})
		}
	}
}

// A volumeFixture is a program with one account and its state on a volume.
type volumeFixture struct {
	*testing.T
	volume   volume
	dir      string
	account  string
	provider *provider
	proxy    *proxy
}

func newVolumeFixture(t *testing.T, v volume, account string) *volumeFixture {
	s := &volumeFixture{T: t, volume: v, dir: v.newDir(t), account: account}
	s.provider = startSandbox(t, unwritableLifetime)[account]
	s.proxy = newProxy(t, s.dir, map[string]*provider{account: s.provider}, "TICKETPROXY_DRAIN_TIMEOUT=6s")
	v.prepare(t, s.proxy)
	s.proxy.start()
	s.proxy.awaitUsable(account, 30*time.Second)
	s.proxy.mustServe(account)
	return s
}

// betweenRefreshes checks that no refresh token is spent without a stored intent.
func (s *volumeFixture) betweenRefreshes() {
	generation := readRecord(s.T, s.dir, s.account).Generation
	await(s.T, 30*time.Second, "a refresh has just ended", func() bool {
		return readRecord(s.T, s.dir, s.account).Generation > generation
	})
	s.volume.blockWrites(s.T, s.dir)
	generation++
	await(s.T, 30*time.Second, "the token has expired", func() bool {
		a, err := s.proxy.request(s.account)
		usable := s.proxy.status(s.account).Usable
		if usable && (err != nil || !a.ok()) {
			s.Fatalf("request with a usable token: %v, %+v, want 2xx", err, a)
		}
		return !usable
	})
	a, err := s.proxy.request(s.account)
	if err != nil || a.status != 503 || a.code != "token_unavailable" {
		s.Errorf("request without a token: %v, %+v, want 503 token_unavailable", err, a)
	}
	if ready, why := s.proxy.ready(); ready {
		s.Errorf("ready without a token: %s", why)
	}
	if c := s.provider.counters(); c.Redemptions != generation {
		s.Errorf("%d redemptions at generation %d, want none without a stored intent", c.Redemptions, generation)
	}
	s.mustRecover()
}

// duringRefresh checks that the program serves from memory a token that it cannot
// store, and stores it later.
func (s *volumeFixture) duringRefresh() {
	spent := s.blockDuringRefresh()
	if ready, why := s.proxy.ready(); ready || !strings.Contains(why, "unsaved") {
		s.Errorf("ready %t while a token is unsaved: %s", ready, why)
	}
	for s.proxy.status(s.account).Usable {
		a, err := s.proxy.request(s.account)
		if usable := s.proxy.status(s.account).Usable; usable && (err != nil || !a.ok()) {
			s.Fatalf("request with an unsaved token: %v, %+v, want 2xx", err, a)
		}
	}
	if c := s.provider.counters(); c.Redemptions != spent {
		s.Errorf("%d redemptions while a token is unsaved, want %d", c.Redemptions, spent)
	}
	s.mustRecover()
}

// terminatedUnsaved checks that the program stores an unsaved token during the drain.
func (s *volumeFixture) terminatedUnsaved() {
	spent := s.blockDuringRefresh()
	go func() {
		time.Sleep(3 * time.Second)
		s.volume.allowWrites(s.T, s.dir)
	}()
	if code := s.proxy.terminate(time.Minute); code != 0 {
		s.Errorf("exit code %d after the token was stored, want 0", code)
	}
	if r := readRecord(s.T, s.dir, s.account); r.Generation != spent || r.Intent != nil {
		s.Errorf("record %+v after %d redemptions", r, spent)
	}
	s.proxy.start()
	s.mustRecover()
}

// endedUnsaved lets the drain end before the token is stored. The program must
// report it as lost, and so must the next process.
func (s *volumeFixture) endedUnsaved() {
	s.blockDuringRefresh()
	if code := s.proxy.terminate(time.Minute); code != 1 {
		s.Errorf("exit code %d with an unsaved token, want 1", code)
	}
	if output := s.proxy.stderr.String(); !strings.Contains(output, "could not be stored and is lost") {
		s.Errorf("stderr does not say that a token is lost")
	}
	s.volume.allowWrites(s.T, s.dir)
	s.proxy.start()
	await(s.T, recoveryTime, "the account is dead", func() bool { return s.proxy.status(s.account).State == "dead" })
	if reason := s.proxy.mustBeDead(s.account); !strings.Contains(reason, "lost") {
		s.Errorf("the reason of the dead account does not say that an answer was lost: %s", reason)
	}
	s.provider.reseed()
	s.proxy.kill()
	s.proxy.start()
	s.proxy.awaitUsable(s.account, 30*time.Second)
	s.proxy.mustServe(s.account)
}

// blockDuringRefresh blocks writes between a commit and its answer. It waits until
// the new token is unsaved, and returns the number of redemptions.
func (s *volumeFixture) blockDuringRefresh() int {
	before := s.provider.counters().Redemptions
	s.provider.slow(0, 3*time.Second)
	await(s.T, 30*time.Second, "the issuer redeems a refresh token", func() bool {
		return s.provider.counters().Redemptions > before
	})
	s.volume.blockWrites(s.T, s.dir)
	s.provider.slow(0, 0)
	await(s.T, 30*time.Second, "the new token is unsaved", func() bool {
		return s.proxy.status(s.account).State == "unsaved"
	})
	s.proxy.mustServe(s.account)
	return before + 1
}

// mustRecover allows writes again and checks that the account loses nothing.
func (s *volumeFixture) mustRecover() {
	s.volume.allowWrites(s.T, s.dir)
	before := s.provider.counters().Redemptions
	await(s.T, recoveryTime+30*time.Second, "the account refreshes again", func() bool {
		return s.provider.counters().Redemptions > before
	})
	s.proxy.awaitUsable(s.account, 30*time.Second)
	s.proxy.mustServe(s.account)
	if ready, why := s.proxy.ready(); !ready {
		s.Errorf("not ready after recovery: %s", why)
	}
	if code := s.proxy.terminate(30 * time.Second); code != 0 {
		s.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	mustBeSpentOnce(s.T, s.dir, s.provider)
}
