package tokens

import (
	"context"
)

// Access returns what a reader may know of the record: the access token with its times, the
// generation, and whether the account is dead. It has no refresh token, no seed, no hash
// of one, and nothing of a refresh under way.
func (r Record) Access() Record {
	next := Record{
		Generation: r.Generation,
		Recipient:  r.Recipient,
		Grant: Grant{
			AccessToken: r.Grant.AccessToken,
			Obtained:    r.Grant.Obtained,
			Expiry:      r.Grant.Expiry,
		},
	}
	if r.Dead != nil {
		dead := *r.Dead
		next.Dead = &dead
	}
	return next
}

// SameAccess reports whether both records are the same to a reader. Their grants are the same
// if they were obtained at the same time: a token that a store encrypts looks different each
// time.
func (r Record) SameAccess(s Record) bool {
	if (r.Dead == nil) != (s.Dead == nil) || r.Dead != nil && r.Dead.Reason != s.Dead.Reason {
		return false
	}
	return r.Generation == s.Generation && r.Recipient == s.Recipient &&
		r.Grant.AccessToken.IsZero() == s.Grant.AccessToken.IsZero() &&
		r.Grant.Obtained.Equal(s.Grant.Obtained) &&
		r.Grant.Expiry.Equal(s.Grant.Expiry)
}

// An AccessStore is where a Reader finds one account's access tokens. Refreshers write them
// there, as Record.Access makes them. It may be a Notifier. Both methods are safe for
// concurrent use, and return soon after ctx is done.
type AccessStore interface {
	// LoadAccess returns what the refreshers have written. The error is ErrNone when they
	// have written nothing yet.
	LoadAccess(ctx context.Context) (Record, error)
	// Refuse raises a flag for the refreshers: the API has refused the access token of that
	// generation. It does nothing if the flag is raised for that generation already. An
	// error means that the refreshers may not see it; the reader may lack the permission.
	Refuse(ctx context.Context, generation uint64) error
}

// A RefusalNotifier is a Store that tells refreshers of the flags that readers raise.
type RefusalNotifier interface {
	// NotifyRefused has refused called with the generation of a flag, after the flag was
	// raised and at the start if one is raised then, as long as the store is open. It may be
	// called twice for one flag. refused returns at once. NotifyRefused is called once.
	NotifyRefused(refused func(generation uint64))
}
