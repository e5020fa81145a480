package kubernetes

import (
	"errors"
	"net/http"

	"ticketproxy/tokens"
)

// copyRounds bounds how often one copy answers conflicts at once.
const copyRounds = 8

// errCopyBusy says that other writers of the Secret were faster each time.
var errCopyBusy = errors.New("the Secret with the access tokens changes too often")

// copy writes what readers may know of an account's record, if the copy is not that. It
// reports whether it has written.
func (c *copier) copy(account string) (written bool, _ error) {
	for round := range copyRounds {
		old, err := c.seen(round > 0)
		if err != nil {
			return false, err
		}
		want, ok, err := c.wanted(account, old)
		if err != nil || !ok {
			return false, err
		}
		data, err := want.Access().Encode()
		if err != nil {
			return false, err
		}
		keeps := helmKeeps
		// A flag for an older generation than this has done what it was for.
		err = c.access.write(c.ctx, old, account+keySuffix, data, map[string]*string{
			flagOf(account): nil, annotationHelm: &keeps,
		})
		gone := isStatus(err, http.StatusNotFound) && old.Metadata.ResourceVersion != ""
		if !isStatus(err, http.StatusConflict) && !gone {
			return err == nil, err
		}
	}
	return false, errCopyBusy
}

// seen returns the Secret with the access tokens as it was last seen. It reads it when it was
// not, or again.
func (c *copier) seen(again bool) (object, error) {
	if o := c.access.known(); !again && (o.Metadata.ResourceVersion != "" || c.access.watch.live.Load()) {
		return o, nil
	}
	return c.access.get(c.ctx)
}

// wanted returns the record of which a copy is to replace what is in the Secret old; false
// when the copy there is right.
func (c *copier) wanted(account string, old object) (want tokens.Record, ok bool, _ error) {
	want, ok = recordIn(c.state.known(), account)
	have, err := tokens.Decode(old.Data[account+keySuffix])
	switch exists := old.Data[account+keySuffix] != nil; {
	case !ok, exists && err == nil && have.SameAccess(want):
		return want, false, nil
	case exists && err != nil && !errors.Is(err, tokens.ErrDamaged): // a newer program's
		return want, false, nil
	case !exists, err != nil, want.Generation > have.Generation, dies(have, want):
		return want, true, nil
	}
	state, err := c.state.get(c.ctx)
	if err != nil {
		return want, false, err
	}
	want, ok = recordIn(state, account)
	return want, ok && !have.SameAccess(want), nil
}

// dies reports whether nothing but the account's death is new in want.
func dies(have, want tokens.Record) bool {
	alive := have.Dead == nil
	have.Dead = want.Dead
	return alive && want.Dead != nil && have.SameAccess(want)
}
