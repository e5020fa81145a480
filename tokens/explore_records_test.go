package tokens

import "time"

// now is the time in every state: what differs is the age of what is stored.
func (e *explorer) now() time.Time { return time.Unix(2_000_000_000, 0) }

const (
	modelTakeover = defaultTakeover
	longAgo       = time.Hour
)

func (e *explorer) tick() time.Duration { return modelTakeover / time.Duration(e.clock.takeover) }

// record returns the Record that s stands for.
func (e *explorer) record(s slimRecord) Record {
	now := e.now()
	r := Record{
		Generation: uint64(s.gen),
		Grant:      e.grant(s.gen),
		Lost:       int(s.lost),
		Failures:   int(s.failures),
		LostAt:     e.time(s.lostAt, now),
		RetryAt:    e.time(s.retryAt, now.Add(time.Second)),
	}
	if s.notBefore > 0 {
		r.NotBefore = now.Add(time.Duration(s.notBefore) * e.tick())
	}
	if s.holder != 0 {
		r.Intent = &Intent{ID: e.ids[s.holder][s.seq], Holder: e.ids[s.holder][0], Start: e.time(s.began, now), Try: int(s.try)}
	}
	if s.dead {
		r.Dead = &Death{Reason: "invalid", At: now}
	}
	return r
}

func (e *explorer) time(a age, on time.Time) time.Time {
	switch a {
	case pauseGoesOn:
		return on
	case pauseIsOver:
		return on.Add(-longAgo)
	}
	return time.Time{}
}

// grant returns the grant of a generation. Half of what is left of its access token is a
// tick.
func (e *explorer) grant(gen int8) Grant {
	return Grant{
		AccessToken:  e.access[gen],
		RefreshToken: e.refresh[gen],
		Obtained:     e.now().Add(-time.Minute),
		Expiry:       e.now().Add(2 * e.tick()),
	}
}

// slim is the inverse of record, but for the intent.
func (e *explorer) slim(r Record) slimRecord {
	ageOf := func(t time.Time) age {
		switch {
		case t.IsZero():
			return 0
		case e.now().Sub(t) > longAgo/2:
			return pauseIsOver
		}
		return pauseGoesOn
	}
	s := slimRecord{
		gen:      int8(r.Generation),
		lost:     int8(r.Lost),
		failures: int8(r.Failures),
		lostAt:   ageOf(r.LostAt),
		retryAt:  ageOf(r.RetryAt),
		dead:     r.Dead != nil,
	}
	if left := r.NotBefore.Sub(e.now()); left > 0 {
		s.notBefore = int8((left + e.tick() - 1) / e.tick())
	}
	return s
}
