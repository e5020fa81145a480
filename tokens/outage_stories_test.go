package tokens_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/memory"
)

// failing makes an issuer fail every request until the returned function is
// called.
func failing(i *issuer, failure error) (end func()) {
	set := func(fault func(int) (error, error)) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.fault = fault
	}
	set(func(int) (error, error) { return failure, nil })
	return func() { set(nil) }
}

// TestShortOutageIsNotSeen checks that a request waits for the next refresh if that begins
// within 3 s.
func TestShortOutageIsNotSeen(t *testing.T) {
	t.Parallel()
	for kind, failure := range map[string]error{"not sent": errNotSent, "502": errBadGateway, "lost answer": errNoAnswer} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				i := newIssuer(time.Hour)
				time.AfterFunc(time.Second, failing(i, failure))
				r := newRefresher(i, new(memory.Store), i.seed())
				start(t, r)
				began := time.Now()
				mustServe(t, r, i)
				if waited := time.Since(began); waited > 3*time.Second {
					t.Errorf("waited %v", waited)
				}
			})
		})
	}
}

// TestRetryAfterIsTrue checks that the issuer is asked again when Retry-After has passed,
// and not before.
func TestRetryAfterIsTrue(t *testing.T) {
	t.Parallel()
	for kind, failure := range map[string]error{"not sent": errNotSent, "502": errBadGateway, "503 with Retry-After": errBusy} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				i := newIssuer(time.Hour)
				end := failing(i, failure)
				r := newRefresher(i, new(memory.Store), i.seed())
				start(t, r)
				var unavailable *tokens.UnavailableError
				for range 5 {
					began := time.Now()
					_, err := r.Token(t.Context())
					if !errors.As(err, &unavailable) || !errors.Is(err, failure) || unavailable.RetryAfter <= 0 {
						t.Fatalf("error %v", err)
					}
					if waited := time.Since(began); waited > 3*time.Second {
						t.Errorf("refused after %v", waited)
					}
					before, _, _ := i.counts()
					time.Sleep(unavailable.RetryAfter - 1)
					if asked, _, _ := i.counts(); asked != before {
						t.Errorf("the issuer is asked before Retry-After")
					}
					time.Sleep(2 * time.Nanosecond)
					if asked, _, _ := i.counts(); asked != before+1 {
						t.Errorf("%d token requests at Retry-After", asked-before)
					}
				}
				if _, err := r.Token(t.Context()); !errors.As(err, &unavailable) {
					t.Fatalf("error %v", err)
				}
				end()
				time.Sleep(unavailable.RetryAfter)
				began := time.Now()
				mustServe(t, r, i)
				if waited := time.Since(began); waited > 0 {
					t.Errorf("waited %v more", waited)
				}
			})
		})
	}
}

// TestLongPauseIsNotWaitedOut checks that a request fails at once if the issuer may not be
// asked within 3 s.
func TestLongPauseIsNotWaitedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Hour)
		failing(i, errBusy)
		r := newRefresher(i, new(memory.Store), i.seed())
		start(t, r)
		for range 2 {
			began := time.Now()
			_, err := r.Token(t.Context())
			var unavailable *tokens.UnavailableError
			if waited := time.Since(began); !errors.As(err, &unavailable) || unavailable.RetryAfter != 20*time.Second || waited > 0 {
				t.Errorf("waited %v: %v", waited, err)
			}
		}
	})
}

// TestOutageDoesNotProlongTheWaitAfterALostAnswer checks that this wait grows only with
// lost answers.
func TestOutageDoesNotProlongTheWaitAfterALostAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Hour)
		i.fault = func(try int) (error, error) {
			switch {
			case try < 20:
				return errBadGateway, nil
			case try == 20:
				return errNoAnswer, nil
			}
			return nil, nil
		}
		r := newRefresher(i, new(memory.Store), i.seed())
		start(t, r)
		for asked := 0; asked < 20; asked, _, _ = i.counts() {
			r.Token(t.Context())
			time.Sleep(10 * time.Millisecond)
		}
		lost := time.Now()
		mustServe(t, r, i)
		if waited := time.Since(lost); waited > time.Second {
			t.Errorf("waited %v after the lost answer", waited)
		}
	})
}

// TestServerErrorWaitsWhileTheAccessTokenServes checks that the issuer is asked again
// late after a 5xx: the refresh token may be spent, and an issuer with reuse detection
// would revoke the access token too.
func TestServerErrorWaitsWhileTheAccessTokenServes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(10 * time.Minute)
		r := newRefresher(i, new(memory.Store), i.seed())
		start(t, r)
		began := time.Now()
		mustServe(t, r, i)
		var asked []time.Duration
		i.mu.Lock()
		i.fault = func(int) (error, error) {
			asked = append(asked, time.Since(began))
			return errBadGateway, nil
		}
		i.mu.Unlock()
		time.Sleep(9 * time.Minute)
		i.mu.Lock()
		for n, at := range asked[1:] {
			if pause, left := at-asked[n], 10*time.Minute-asked[n]; pause < left/2-time.Second {
				t.Errorf("asked after %v with %v left", pause, left)
			}
		}
		i.mu.Unlock()
		time.Sleep(time.Minute)
		before, _, _ := i.counts()
		for range 10 {
			r.Token(t.Context())
			time.Sleep(time.Second)
		}
		if after, _, _ := i.counts(); after-before < 4 {
			t.Errorf("%d token requests after the access token's end", after-before)
		}
	})
}

// TestPauseOfAnotherClockIsIgnored checks that a process whose clock is ahead does not
// keep the others from asking.
func TestPauseOfAnotherClockIsIgnored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(time.Hour), new(memory.Store)
		seed := i.seed()
		put(t, s, func(r *tokens.Record) {
			*r = tokens.Record{Grant: tokens.Grant{RefreshToken: seed}, Seed: seed.Hash(), Failures: 3, RetryAt: time.Now().Add(time.Minute)}
		})
		r := newRefresher(i, s, seed)
		start(t, r)
		began := time.Now()
		mustServe(t, r, i)
		if waited := time.Since(began); waited > 0 {
			t.Errorf("waited %v", waited)
		}
	})
}

// TestDrainEndsAPause checks that a request that waits for the next refresh fails when
// there will be none.
func TestDrainEndsAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(time.Hour)
		failing(i, errNotSent)
		r := newRefresher(i, new(memory.Store), i.seed())
		var refused time.Time
		go func() {
			r.Token(t.Context())
			refused = time.Now()
		}()
		time.Sleep(100 * time.Millisecond)
		drained := time.Now()
		if err := r.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if !refused.Equal(drained) {
			t.Errorf("drained at %v, refused at %v", drained, refused)
		}
	})
}
