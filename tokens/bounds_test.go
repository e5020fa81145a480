package tokens

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ticketproxy/secret"
)

// aGrant returns a grant that was obtained at the given time, for an hour.
func aGrant(obtained time.Time) Grant {
	return Grant{
		AccessToken:  secret.New("access"),
		RefreshToken: secret.New("refresh"),
		Obtained:     obtained,
		Expiry:       obtained.Add(time.Hour),
	}
}

// holding returns a Refresher that holds a stored record of this grant.
func holding(generation uint64, g Grant) *Refresher {
	r := New(Config{Account: "park", Rotation: RotationSingleUse})
	r.held, r.saving = Record{Generation: generation, Grant: g}, saveDone
	return r
}

// A refusal by the API is forgotten only with a record of an older generation.
func TestRefusalOutlivesItsOwnRecord(t *testing.T) {
	t.Parallel()
	for generation, want := range map[uint64]uint64{6: 0, 7: 7, 8: 7} {
		r := holding(7, aGrant(time.Now()))
		r.held.Dead = &Death{Reason: "spent"}
		r.refused = 7
		next := aGrant(time.Now())
		next.AccessToken, next.RefreshToken = secret.New("another"), secret.New("another")
		r.adopt(Record{Generation: generation, Grant: next})
		if r.refused != want {
			t.Errorf("adopting generation %d leaves %d refused, want %d", generation, r.refused, want)
		}
	}
}

// The grant that is held keeps its monotonic times. Only a record of that grant
// gets them.
func TestDatedRecord(t *testing.T) {
	t.Parallel()
	now := time.Now() // with a monotonic reading
	g := aGrant(now)
	asStored := aGrant(now.Round(0))
	another := aGrant(now.Round(0))
	another.RefreshToken = secret.New("another")
	dated := func(g Grant, later time.Duration) Grant {
		g.Obtained, g.Expiry = g.Obtained.Add(later), g.Expiry.Add(later)
		return g
	}
	for name, test := range map[string]struct {
		saving     saveState
		generation uint64
		grant      Grant
		want       Grant
	}{
		"held":              {saveDone, 3, asStored, g},
		"nothing held":      {saveNothing, 3, asStored, asStored},
		"newer":             {saveDone, 4, asStored, asStored},
		"of another grant":  {saveDone, 3, another, another},
		"future, the same":  {saveDone, 3, aGrant(now.Round(0).Add(time.Hour)), g},
		"future, another":   {saveDone, 3, dated(another, time.Hour), aGrant(now.Add(-45 * time.Minute))},
		"future, newer":     {saveDone, 4, aGrant(now.Round(0).Add(time.Hour)), aGrant(now)},
		"future, none held": {saveNothing, 4, aGrant(now.Round(0).Add(time.Hour)), aGrant(now.Add(-45 * time.Minute))},
	} {
		r := holding(3, g)
		r.saving = test.saving
		got := r.datedLocked(Record{Generation: test.generation, Grant: test.grant}).Grant
		if off := got.Obtained.Sub(test.want.Obtained); off < 0 || off > time.Minute {
			t.Errorf("%s: obtained at %v, want %v", name, got.Obtained, test.want.Obtained)
		}
		if test.want.Obtained.Equal(now) && name == "held" != (got.Obtained == now) && test.grant.Obtained.Equal(now) {
			t.Errorf("%s: obtained at %#v, want %#v", name, got.Obtained, test.want.Obtained)
		}
	}
}

// Begin notes the seed that the operator gives now, and that the one before is spent.
func TestBeginNotesTheSeed(t *testing.T) {
	t.Parallel()
	first, second := secret.New("first"), secret.New("second")
	for name, test := range map[string]struct {
		before, seed secret.String
		want         string
		spent        []string
	}{
		"none":       {secret.String{}, secret.String{}, "", nil},
		"first":      {secret.String{}, first, first.Hash(), nil},
		"the same":   {first, first, first.Hash(), nil},
		"another":    {first, second, second.Hash(), []string{first.Hash()}},
		"given back": {first, secret.String{}, first.Hash(), nil},
	} {
		s := &lastRecord{Record: Record{Generation: 4, Seed: test.before.Hash()}}
		generation, err := Begin(t.Context(), s, aGrant(at()), test.seed)
		if generation != 5 || err != nil {
			t.Errorf("%s: generation %d, %v", name, generation, err)
		}
		if s.Seed != test.want || len(s.Spent) != len(test.spent) || len(s.Spent) > 0 && s.Spent[0] != test.spent[0] {
			t.Errorf("%s: seed %s, spent %q", name, s.Seed, s.Spent)
		}
	}
}

// A lastRecord is a Store that keeps the last record, and counts its uses.
type lastRecord struct {
	Record
	err          error // of Swap
	loads, swaps int
}

func (s *lastRecord) Load(context.Context) (Record, Version, error) {
	s.loads++
	return s.Record, "version", nil
}

func (s *lastRecord) Swap(_ context.Context, _ Version, next Record) (Version, error) {
	s.swaps++
	if s.err == nil {
		s.Record = next
	}
	return "version", s.err
}

// The end of a refresh token is not put off by less than half of the time that has
// passed.
func TestRenewedRefreshToken(t *testing.T) {
	t.Parallel()
	old := aGrant(at())
	old.RefreshExpiry = at().Add(240 * time.Hour)
	for later, renewed := range map[time.Duration]bool{50*time.Second - 1: false, 50 * time.Second: true} {
		next := aGrant(at().Add(100 * time.Second))
		next.RefreshToken, next.RefreshExpiry = secret.New("next"), old.RefreshExpiry.Add(later)
		rec, _ := after(Record{Grant: old}, next, nil, facts{now: next.Obtained, rotation: RotationSingleUse})
		if rec.Grant.Renewed.IsZero() != renewed {
			t.Errorf("%v later: renewed at %v", later, rec.Grant.Renewed)
		}
	}
}

// A failure whose record asks for no wait has callers wait all the same.
func TestFailureWithoutARecordedWait(t *testing.T) {
	t.Parallel()
	for _, class := range []Class{Ambiguous, Refused} {
		var failed *UnavailableError
		if err := holding(1, aGrant(at())).fail(&IssuerError{Class: class, Err: errors.New("x")}); !errors.As(err, &failed) ||
			failed.RetryAfter <= 0 {
			t.Errorf("class %v: %v, asked again after %v", class, err, failed.RetryAfter)
		}
	}
}

func TestHighestGeneration(t *testing.T) {
	t.Parallel()
	for generation, want := range map[uint64]error{maxGeneration: nil, maxGeneration + 1: ErrDamaged} {
		data, err := Record{Generation: generation, Grant: aGrant(at())}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if rec, err := Decode(data); !errors.Is(err, want) || want == nil && rec.Generation != generation {
			t.Errorf("generation %d: %v", generation, err)
		}
	}
}

// Another process's intent is respected for less than the takeover delay.
func TestTakeoverDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := holding(1, aGrant(time.Now()))
		r.config.Store = new(lastRecord)
		intent := &Intent{ID: "other.1", Holder: "other"}
		for _, step := range []struct {
			wait time.Duration
			want holderState
		}{{0, holderBusy}, {r.config.Takeover - 1, holderBusy}, {1, holderSilent}} {
			time.Sleep(step.wait)
			if got := r.holderOf(intent); got != step.want {
				t.Errorf("after %v more: %v, want %v", step.wait, got, step.want)
			}
		}
	})
}

// A countingIssuer refuses every refresh token, and counts.
type countingIssuer struct{ asked int }

func (i *countingIssuer) Refresh(context.Context, secret.String) (Grant, error) {
	i.asked++
	return Grant{}, &IssuerError{Class: Refused, Err: errors.New("refused")}
}

// A process that was paused after its claim does not spend: another may have taken over.
func TestPauseAfterTheClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for over, asked := range map[time.Duration]int{0: 1, 1: 0} {
			i := new(countingIssuer)
			r := New(Config{Account: "park", Issuer: i, Store: new(lastRecord)})
			rec := Record{Generation: 1, Grant: aGrant(time.Now())}
			rec.Intent = &Intent{ID: "first.1", Start: time.Now().Add(-r.config.Takeover/6 - over)}
			if again, _ := r.spend(rec, "version"); again != (asked == 0) || i.asked != asked {
				t.Errorf("%v over a sixth of the takeover delay: %d token requests, want %d", over, i.asked, asked)
			}
		}
	})
}

func TestPendingGrant(t *testing.T) {
	t.Parallel()
	for saving, want := range map[saveState]bool{saveNothing: false, saveDone: false, savePending: true, saveFailed: true} {
		r := New(Config{})
		if r.saving = saving; r.isPending() != want {
			t.Errorf("state %d is pending: %v", saving, !want)
		}
	}
}

// A caller waits for no further refresh when it is not known when one may begin.
func TestNoWaitWithoutATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := New(Config{Account: "park"})
		last := time.Now().Add(time.Second)
		for wait, waits := range map[time.Duration]bool{0: false, time.Second: true, time.Second + 1: false} {
			err := r.waitOut(t.Context(), nil, &UnavailableError{RetryAfter: wait, Err: errSlow}, last)
			if (err == nil) != waits {
				t.Errorf("next refresh after %v: %v", wait, err)
			}
			last = time.Now().Add(time.Second)
		}
	})
}

func TestFreshTokensInARow(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first, obtained, refused time.Duration // after the grant before
		row                      int
	}{
		"fresh":                       {0, 0, 15*time.Minute - 1, 2},
		"lived well":                  {0, 0, 15 * time.Minute, 1},
		"soon after the refusal":      {0, 15*time.Minute - 1, 20 * time.Minute, 2},
		"obtained long after that":    {0, 15 * time.Minute, 20 * time.Minute, 1},
		"first refused later as well": {time.Minute, 15 * time.Minute, 20 * time.Minute, 2},
	} {
		var s refusals
		s.note(1, aGrant(at()), at().Add(test.first))
		if s.row != 1 {
			t.Errorf("%s: the first refusal makes a row of %d", name, s.row)
		}
		s.note(2, aGrant(at().Add(test.obtained)), at().Add(test.refused))
		if s.row != test.row {
			t.Errorf("%s: %d in a row, want %d", name, s.row, test.row)
		}
	}
}

func TestLivedWell(t *testing.T) {
	t.Parallel()
	for life, want := range map[time.Duration]time.Duration{
		0: time.Hour, time.Minute: 15 * time.Second, 4 * time.Hour: time.Hour, 40 * time.Hour: time.Hour,
	} {
		g := Grant{Obtained: at()}
		if life > 0 {
			g.Expiry = at().Add(life)
		}
		if got := livedWell(g); got != want {
			t.Errorf("a token of %v has lived well after %v, want %v", life, got, want)
		}
	}
}

// In a pause a refusal causes no refresh, unless one is due anyway.
func TestRejectionInAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			age     time.Duration
			refused uint64
			want    bool
		}{
			"just obtained":              {0, 0, false},
			"end of the pause":           {time.Minute, 0, true},
			"refresh is under way":       {0, 7, true},
			"refused the one before":     {0, 6, false},
			"clock was set back":         {-time.Second, 0, true},
			"just before the pause ends": {time.Minute - 1, 0, false},
		} {
			r := holding(7, aGrant(time.Now().Add(-test.age)))
			r.held.RefusalPause, r.refused = time.Minute, test.refused
			if got := r.noteRejection(newSnapshot(r.held, 0.5)); got != test.want {
				t.Errorf("%s: may refresh: %v", name, got)
			}
		}
	})
}

// Refused counts a refusal of the current token alone.
func TestRefusedToken(t *testing.T) {
	t.Parallel()
	r := New(Config{})
	r.Refused(Token{Generation: 0}) // before there is one
	r = holding(7, aGrant(time.Now()))
	r.publishLocked()
	for generation, row := range map[uint64]int{6: 0, 7: 1, 8: 0} {
		r.refusals = refusals{}
		if r.Refused(Token{Generation: generation}); r.refusals.row != row {
			t.Errorf("generation %d: %d in a row, want %d", generation, r.refusals.row, row)
		}
	}
}

// The warning of refused tokens ends when a newer one has lived well.
func TestRefusalWarningEnds(t *testing.T) {
	t.Parallel()
	now := at()
	for name, test := range map[string]struct {
		row        int
		generation uint64
		ago        time.Duration
		warned     bool
	}{
		"one refusal":             {1, 7, 0, false},
		"two, of this token":      {2, 7, 24 * time.Hour, true},
		"two, of the ones before": {2, 6, 15*time.Minute - 1, true},
		"lived well since":        {2, 6, 15 * time.Minute, false},
	} {
		r := holding(7, aGrant(now))
		r.refusals = refusals{generation: test.generation, row: test.row, latest: now.Add(-test.ago)}
		if got := r.refusalWarningLocked(now); (got != "") != test.warned {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Run looks at the store once in each Poll.
func TestRunPolls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(lastRecord)
		r := holding(7, aGrant(time.Now()))
		s.Record, r.config.Store = r.held, s
		r.publishLocked()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+1)
		defer cancel()
		r.Run(ctx)
		if s.loads != 11 {
			t.Errorf("%d loads in 10 s, want 11", s.loads)
		}
	})
}

// A drain tries to store a grant again and again, at growing intervals.
func TestDrainTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &lastRecord{err: errors.New("no space")}
		r := holding(7, aGrant(time.Now()))
		r.config.Store, r.saving = s, savePending
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 15*minBackoff+1)
		defer cancel()
		if err := r.Drain(ctx); err == nil {
			t.Error("no error")
		}
		if s.swaps != 5 { // at 0, 1, 3, 7 and 15 times minBackoff
			t.Errorf("%d tries in %v, want 5", s.swaps, time.Since(began))
		}
	})
}

// A time that has come asks for no wait.
func TestCooldownIsOver(t *testing.T) {
	t.Parallel()
	now := at()
	for name, rec := range map[string]Record{"after an outage": {RetryAt: now}, "after a throttle": {NotBefore: now}} {
		if w, why := cooldown(rec, facts{now: now}); why != nil || w != (waits{}) {
			t.Errorf("%s: %v, because %v", name, w, why)
		}
	}
}

// Each intent of a process has an ID of its own.
func TestIntentIDs(t *testing.T) {
	t.Parallel()
	s := new(lastRecord)
	r := New(Config{Account: "park", Store: s, Holder: "first"})
	for _, want := range []string{"first.1", "first.2"} {
		if _, err := r.claim(Record{Generation: 1, Grant: aGrant(at())}, "version"); err != nil || s.Intent.ID != want {
			t.Errorf("intent %s, want %s; error %v", s.Intent.ID, want, err)
		}
	}
}

// A record says why its last token request failed, so that a process that starts later can
// say it, too. It is forgotten with the next grant.
func TestFailureIsRecorded(t *testing.T) {
	t.Parallel()
	f := facts{now: at(), rotation: RotationSingleUse, random: 0.5}
	for want, e := range map[string]*IssuerError{
		"the issuer answered 503":                {Class: Ambiguous, Status: 503},
		"the issuer answered 429":                {Class: Throttled, Status: 429, RetryAfter: time.Minute},
		"the issuer cannot be reached":           {Class: NotSent, Err: errors.New("10.0.0.1: refused")},
		"the issuer gave no answer":              {Class: Ambiguous, Err: errors.New("closed")},
		"the issuer answered 401 invalid_client": {Class: Refused, Status: 401, Code: "invalid_client"},
	} {
		rec := Record{Generation: 1, Grant: aGrant(at()), Intent: &Intent{Try: 1}}
		next, _ := after(rec, Grant{}, e, f)
		if next.Reason != want {
			t.Errorf("got %q, want %q", next.Reason, want)
		}
		if _, why := cooldown(next, f); e.Class != Refused && (why == nil || why.Error() != "the last token request failed: "+want) {
			t.Errorf("the wait is explained by %v", why)
		}
		if next, _ = after(next, aGrant(at()), nil, f); next.Reason != "" {
			t.Errorf("a grant has the reason %q", next.Reason)
		}
	}
}

// A dead account does not show when its refresh token ends, and its log line has the hint.
func TestDeadAccount(t *testing.T) {
	t.Parallel()
	core, logged := observer.New(zap.InfoLevel)
	r := New(Config{Account: "park", Log: zap.New(core), DeadHint: "run ticketproxy login park"})
	g := aGrant(time.Now())
	g.RefreshExpiry = time.Now().Add(time.Hour)
	r.adopt(Record{Generation: 1, Grant: g, Dead: &Death{Reason: "spent"}})
	if s := r.Status(); s.State != Dead || !s.RefreshExpiry.IsZero() || s.Error != "spent" {
		t.Errorf("%+v", s)
	}
	if all := logged.FilterMessage("account needs a person").All(); len(all) != 1 ||
		all[0].ContextMap()["hint"] != "run ticketproxy login park" {
		t.Errorf("logged %v", all)
	}
}
