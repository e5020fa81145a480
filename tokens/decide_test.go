package tokens

import (
	"errors"
	"testing"
	"time"

	"ticketproxy/secret"
)

// at is when the token requests of the tables fail.
func at() time.Time { return time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC) }

// claimed returns a record whose refresh token is being redeemed.
func claimed() Record {
	return Record{
		Generation: 7,
		Grant: Grant{
			AccessToken:  secret.New("a7"),
			RefreshToken: secret.New("r7"),
			Obtained:     at().Add(-time.Hour),
			Expiry:       at().Add(time.Hour),
		},
		Seed:   secret.New("seed").Hash(),
		Intent: &Intent{ID: "p.1", Holder: "p", Start: at(), Try: 1},
	}
}

// TestAfterFailure is the table of failed token requests.
func TestAfterFailure(t *testing.T) {
	t.Parallel()
	failed := func(class Class, status int, code string) *IssuerError {
		return &IssuerError{Class: class, Status: status, Code: code, Err: errors.New("cause")}
	}
	throttled := failed(Throttled, 429, "")
	throttled.RetryAfter = 20 * time.Second
	for name, test := range map[string]struct {
		err     error
		change  func(*Record)
		outcome outcome
		want    func(Record) bool
	}{
		"not sent": {
			failed(NotSent, 0, ""), nil, outcomeFailed,
			func(r Record) bool {
				return r.Failures == 1 && r.RetryAt.After(at()) && r.Lost == 0 && r.LostAt.IsZero()
			},
		},
		"throttled": {
			throttled, nil, outcomeFailed,
			func(r Record) bool {
				return r.NotBefore.Equal(at().Add(20*time.Second)) && r.Failures == 0 && r.Lost == 0
			},
		},
		"throttled with 503": {
			failed(Throttled, 503, ""), nil, outcomeFailed,
			func(r Record) bool { return r.NotBefore.Equal(at().Add(minBackoff)) && r.Failures == 1 },
		},
		"refused": {
			failed(Refused, 401, "invalid_client"), nil, outcomeFailed,
			func(r Record) bool {
				return r.Failures == 0 && r.RetryAt.IsZero() && r.NotBefore.IsZero() && r.LostAt.IsZero()
			},
		},
		"refused for now": {
			failed(Refused, 400, "temporarily_unavailable"), nil, outcomeFailed,
			func(r Record) bool { return r.Failures == 1 && r.RetryAt.After(at()) && r.LostAt.IsZero() },
		},
		"no answer": {
			failed(Ambiguous, 0, ""), nil, outcomeFailed,
			func(r Record) bool { return r.Lost == 1 && r.LostAt.Equal(at()) && r.Failures == 0 },
		},
		"no answer, again": {
			failed(Ambiguous, 0, ""), func(r *Record) { r.Lost, r.Intent.Try = 2, 3 }, outcomeFailed,
			func(r Record) bool { return r.Lost == 3 },
		},
		"answer of 5xx": {
			failed(Ambiguous, 502, ""), nil, outcomeFailed,
			func(r Record) bool {
				return r.Lost == 0 && r.LostAt.Equal(at()) && r.Failures == 1 && r.RetryAt.After(at())
			},
		},
		"another error": {
			errors.New("of no class"), nil, outcomeFailed,
			func(r Record) bool { return r.Lost == 1 },
		},
		"invalid": {
			failed(Invalid, 400, "invalid_grant"), nil, outcomeDied,
			func(r Record) bool { return r.Dead != nil && r.Dead.At.Equal(at()) && len(r.Spent) == 0 },
		},
		"invalid, with a fallback": {
			failed(Invalid, 400, "invalid_grant"), func(r *Record) { r.Grant.Fallback = secret.New("r6") }, outcomeFellBack,
			func(r Record) bool {
				return r.Dead == nil && r.Generation == 8 && r.Grant.RefreshToken.Reveal() == "r6" && r.Grant.Fallback.IsZero()
			},
		},
		"invalid seed": {
			failed(Invalid, 400, "invalid_grant"), func(r *Record) { r.Seed = secret.New("r7").Hash() }, outcomeDied,
			func(r Record) bool { return len(r.Spent) == 1 && r.Spent[0] == r.Seed },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := claimed()
			if test.change != nil {
				test.change(&rec)
			}
			next, outcome := after(rec, Grant{}, test.err, facts{now: at(), random: 0.5})
			if outcome != test.outcome || !test.want(next) {
				t.Errorf("outcome %d, record %+v, death %+v", outcome, next, next.Dead)
			}
			if next.Intent != nil {
				t.Error("the intent stays")
			}
			if rec.Intent == nil || rec.Dead != nil {
				t.Error("the record before was changed")
			}
		})
	}
}

func TestAfterGrant(t *testing.T) {
	t.Parallel()
	grant := Grant{
		AccessToken:  secret.New("a8"),
		RefreshToken: secret.New("r8"),
		Obtained:     at(),
		Expiry:       at().Add(time.Hour),
	}
	for name, test := range map[string]struct {
		rotation Rotation
		change   func(*Record, *Grant)
		err      error
		want     func(Record) bool
	}{
		"rotated": {RotationSingleUse, func(*Record, *Grant) {}, nil, func(r Record) bool {
			return r.Grant.RefreshToken.Reveal() == "r8" && r.Grant.Fallback.IsZero() && r.Lost == 0 && r.LostAt.IsZero()
		}},
		"perhaps rotated": {RotationMaybe, func(*Record, *Grant) {}, nil, func(r Record) bool {
			return r.Grant.Fallback.Reveal() == "r7"
		}},
		"no refresh token": {RotationMaybe, func(_ *Record, g *Grant) { g.RefreshToken = secret.String{} }, nil, func(r Record) bool {
			return r.Grant.RefreshToken.Reveal() == "r7" && r.Grant.Fallback.IsZero() && r.Grant.AccessToken.Reveal() == "a8"
		}},
		"no access token": {RotationSingleUse, func(_ *Record, g *Grant) { g.AccessToken = secret.String{} }, errors.New("no access token"), func(r Record) bool {
			return r.Grant.RefreshToken.Reveal() == "r8" && r.Grant.AccessToken.Reveal() == "a7" && r.Grant.Obtained.Equal(at().Add(-time.Hour))
		}},
		"seed is spent": {RotationSingleUse, func(r *Record, _ *Grant) { r.Seed = secret.New("r7").Hash() }, nil, func(r Record) bool {
			return len(r.Spent) == 1
		}},
		"end that no refresh extends": {RotationNone, func(r *Record, g *Grant) {
			g.RefreshToken, r.Grant.RefreshExpiry = secret.String{}, at().Add(24*time.Hour)
		}, nil, func(r Record) bool {
			return r.Grant.RefreshExpiry.Equal(at().Add(24*time.Hour)) && r.Grant.Renewed.Equal(at().Add(-time.Hour))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec, g := claimed(), grant
			rec.Lost, rec.LostAt, rec.Failures = 1, at(), 2
			test.change(&rec, &g)
			next, outcome := after(rec, g, test.err, facts{now: at(), rotation: test.rotation})
			if outcome != outcomeRotated || next.Generation != 8 || next.Intent != nil || next.Failures != 0 || !test.want(next) {
				t.Errorf("outcome %d, record %+v", outcome, next)
			}
		})
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	lost := func(r *Record) { r.Lost, r.LostAt = 1, at().Add(-100*time.Millisecond) }
	for name, test := range map[string]struct {
		change func(*Record)
		facts  facts
		step   step
		wait   time.Duration // with stepCoolDown
	}{
		"nothing prevents it":          {nil, facts{}, stepRefresh, 0},
		"dead":                         {func(r *Record) { r.Dead = &Death{Reason: "spent"} }, facts{}, stepDead, 0},
		"no refresh token":             {func(r *Record) { r.Grant.RefreshToken = secret.String{} }, facts{}, stepDead, 0},
		"holder is busy":               {nil, facts{holder: holderBusy}, stepWaitForHolder, 0},
		"dead, holder is busy":         {func(r *Record) { r.Dead = &Death{Reason: "spent"} }, facts{holder: holderBusy}, stepDead, 0},
		"holder has ended, needed now": {func(r *Record) { r.Intent.Start = at().Add(-time.Second) }, facts{holder: holderEnded, need: needNow}, stepRefresh, 0},
		"holder is silent, live token": {nil, facts{holder: holderSilent, need: needNone, rotation: RotationSingleUse}, stepCoolDown, 30 * time.Minute},
		"lost, needed now":             {lost, facts{need: needNow}, stepCoolDown, minBackoff - 100*time.Millisecond},
		"lost, live token":             {lost, facts{need: needNone, rotation: RotationSingleUse}, stepCoolDown, 30*time.Minute - 50*time.Millisecond},
		"lost, live token, grace":      {lost, facts{need: needNone, rotation: RotationSingleUse, grace: true}, stepCoolDown, minBackoff - 100*time.Millisecond},
		"lost, no rotation":            {lost, facts{need: needNone, rotation: RotationNone}, stepCoolDown, minBackoff - 100*time.Millisecond},
		"lost in the future":           {func(r *Record) { r.Lost, r.LostAt = 1, at().Add(time.Second) }, facts{need: needNone}, stepRefresh, 0},
		"lost long ago":                {func(r *Record) { r.Lost, r.LostAt = 1, at().Add(-time.Minute) }, facts{need: needLater}, stepRefresh, 0},
		"throttled":                    {func(r *Record) { r.NotBefore = at().Add(time.Minute) }, facts{need: needNow}, stepCoolDown, time.Minute},
		"paced for the longest":        {func(r *Record) { r.RetryAt = at().Add(maxPace) }, facts{need: needNow}, stepCoolDown, maxPace},
		"throttled for the longest":    {func(r *Record) { r.NotBefore = at().Add(maxSilence) }, facts{need: needNow}, stepCoolDown, maxSilence},
		"throttled by a wrong clock":   {func(r *Record) { r.NotBefore = at().Add(2 * maxSilence) }, facts{need: needNow}, stepRefresh, 0},
		"paced":                        {func(r *Record) { r.RetryAt = at().Add(time.Second) }, facts{need: needNow}, stepCoolDown, time.Second},
		"paced by a wrong clock":       {func(r *Record) { r.RetryAt = at().Add(time.Hour) }, facts{need: needNow}, stepRefresh, 0},
		"paced since it was lost":      {func(r *Record) { r.LostAt, r.RetryAt = at().Add(-time.Millisecond), at().Add(time.Second) }, facts{need: needNow}, stepCoolDown, time.Second},
		"failed often, needed later":   {func(r *Record) { r.Lost, r.Failures, r.LostAt = 1, 7, at() }, facts{need: needLater}, stepCoolDown, maxBackoff},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := claimed()
			if test.facts.holder == holderNone {
				rec.Intent = nil
			}
			if test.change != nil {
				test.change(&rec)
			}
			test.facts.now = at()
			d := decide(rec, test.facts)
			if d.step != test.step || d.waits[test.facts.need] != test.wait {
				t.Errorf("step %d after %v (%v), want step %d after %v", d.step, d.waits[test.facts.need], d.err, test.step, test.wait)
			}
			if d.step == stepCoolDown && d.err == nil || d.step == stepDead && d.reason == "" {
				t.Error("no reason is given")
			}
			if d.step == stepRefresh && d.record.Intent != nil {
				t.Error("another process's intent stays")
			}
		})
	}
}
