package tokens

import (
	"errors"
	"time"
)

// This file belongs to the pure core, as decide.go does: what a process makes of the
// record that it finds in the store, beside the one that it holds. explore_test.go walks
// through all that may come of these rules.

// settleClaim returns what a commit stores for a claim, whose record has the intent. It
// returns errKeep when the claim was stored after all, and else why it was not.
func settleClaim(s stored, claim Record) (Record, error) {
	switch {
	case s.cause == nil:
		return claim, nil
	case s.err == nil && s.Intent != nil && s.Intent.ID == claim.Intent.ID:
		return Record{}, errKeep
	}
	return Record{}, s.cause
}

// A settlement is what to do about a held grant that may not be stored.
type settlement int

const (
	settleStore      settlement = iota // store it
	settleStoreLost                    // the same; the store has lost the record that was announced
	settleStored                       // it is stored
	settleSuperseded                   // a newer record is stored: drop it
	settleUnknown                      // the store cannot be read
)

// settleGrant returns what to do about a held grant. It replaces any record of an
// older generation, whoever holds an intent there.
func settleGrant(s stored, held Record) settlement {
	switch {
	case s.cause == nil:
		return settleStore
	case errors.Is(s.err, ErrNone), errors.Is(s.err, ErrDamaged):
		return settleStoreLost
	case s.err != nil:
		return settleUnknown
	case s.Grant.Same(held.Grant) && s.Generation == held.Generation:
		return settleStored
	case s.Generation >= held.Generation:
		return settleSuperseded
	case s.Generation+1 != held.Generation:
		return settleStoreLost
	}
	return settleStore
}

// isLost reports whether the store has lost the record that is held: it has none, a
// damaged one, or an older one. A dead record is not worth putting back.
func isLost(held Record, saving saveState, rec Record, err error) bool {
	lost := errors.Is(err, ErrNone) || errors.Is(err, ErrDamaged) || err == nil && rec.Generation < held.Generation
	return lost && saving != saveNothing && held.Dead == nil
}

// An adoption is what becomes of what is held when a record is found in the store.
type adoption int

const (
	adoptNothing adoption = iota // what is held stays
	adoptSame                    // the record is the one that is held: it is stored
	adoptNewer                   // the record replaces what is held
)

// adopts returns what becomes of what is held when rec is found in the store.
func adopts(held Record, saving saveState, rec Record) adoption {
	switch {
	case saving != saveNothing && rec.Grant.Same(held.Grant) && rec.Generation == held.Generation:
		return adoptSame
	case saving != saveNothing && rec.Generation < held.Generation && !supersedes(rec, held),
		rec.Grant.RefreshToken.IsZero():
		return adoptNothing
	}
	return adoptNewer
}

// supersedes reports whether what is held is dead while rec, though its generation is
// older, lives on another refresh token.
func supersedes(rec, held Record) bool {
	return held.Dead != nil && rec.Dead == nil && !rec.Grant.RefreshToken.IsZero() &&
		!rec.Grant.RefreshToken.Equal(held.Grant.RefreshToken)
}

// isStale reports whether a claim that began at start is too old to be followed by a token
// request: the process was paused after it, or the store was slow, and another process
// might take over before the answer is stored. It goes by both clocks, because the wall
// clock goes on while the machine sleeps.
func isStale(start, now time.Time, takeover time.Duration) bool {
	most := takeover / 6
	return now.Round(0).Sub(start.Round(0)) > most || now.Sub(start) > most
}
