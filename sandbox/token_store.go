package sandbox

import (
	"errors"
	"time"
)

// Why a token is refused. Each vendor says it in words of its own.
var (
	errUnknown = errors.New("token is not known")
	errRevoked = errors.New("token was revoked")
	errSpent   = errors.New("token was used before")
	errExpired = errors.New("token has expired")
)

// A policy is how a vendor's tokens live and die.
type policy struct {
	rotates       bool          // a refresh token is good for one redemption
	endsOldAccess bool          // a redemption revokes the access token issued before
	accessLife    time.Duration // from issue
	expiresIn     int           // the seconds that the answer announces
	refreshLife   time.Duration // from issue; 0 for no end
	reuse         bool          // see Options.ReuseDetection
	grace         time.Duration // see Options.Grace
	newAccess     func(issued, expires time.Time) string
	newRefresh    func() string
}

func (o Options) apply(p policy) policy {
	p.reuse, p.grace = o.ReuseDetection, o.Grace
	if o.AccessLifetime > 0 {
		p.accessLife = o.AccessLifetime
		p.expiresIn = int(o.AccessLifetime / time.Second)
	}
	return p
}

// A book is an issuer's memory: every token, and the family of each. A family is
// all that descends from one seed or one login. Not safe for concurrent use.
type book struct {
	policy
	counters *Counters
	access   map[string]*accessToken
	refresh  map[string]*refreshToken
}

type family struct{ revoked bool }

type accessToken struct {
	family  *family
	expires time.Time
	revoked bool
}

type refreshToken struct {
	family   *family
	expires  time.Time    // zero: no end
	spent    time.Time    // zero: not yet; else the first redemption
	redeemed int          // how often
	access   *accessToken // issued together with it; nil for a seed
}

// A pair is what a token answer carries.
type pair struct {
	access, refresh string
	expiresIn       int
}

func newBook(p policy, c *Counters) *book {
	return &book{p, c, map[string]*accessToken{}, map[string]*refreshToken{}}
}

func (b *book) seed(now time.Time) string {
	token := b.issueRefresh(now, &family{}, nil)
	return token
}

// first is the pair for a password or an authorization code.
func (b *book) first(now time.Time) pair {
	b.counters.FirstGrants++
	return b.issue(now, &family{})
}

// redeem spends a refresh token. It answers with a new pair, or with the reason
// why not and nothing changed but what reuse detection revokes.
func (b *book) redeem(now time.Time, token string) (pair, error) {
	rt, err := b.redeemable(now, token)
	if err != nil {
		b.counters.InvalidGrants++
		return pair{}, err
	}
	b.counters.Redemptions++
	rt.redeemed++
	b.counters.MaxRedemptions = max(b.counters.MaxRedemptions, rt.redeemed)
	if !b.rotates {
		access, _ := b.issueAccess(now, rt.family)
		return pair{access, token, b.expiresIn}, nil
	}
	if rt.spent.IsZero() {
		rt.spent = now
	}
	if b.endsOldAccess && rt.access != nil {
		rt.access.revoked = true
	}
	return b.issue(now, rt.family), nil
}

func (b *book) redeemable(now time.Time, token string) (*refreshToken, error) {
	rt := b.refresh[token]
	if rt == nil {
		return nil, errUnknown
	}
	inGrace := false
	if !rt.spent.IsZero() {
		b.counters.Reuses++
		inGrace = now.Sub(rt.spent) < b.grace
	}
	switch {
	case rt.family.revoked:
		return nil, errRevoked
	case !rt.expires.IsZero() && !now.Before(rt.expires):
		return nil, errExpired
	case rt.spent.IsZero() || inGrace:
		return rt, nil
	case b.reuse:
		rt.family.revoked = true
		b.counters.FamiliesRevoked++
	}
	return nil, errSpent
}

// check says why an access token is not good, nil if it is.
func (b *book) check(now time.Time, token string) error {
	at := b.access[token]
	switch {
	case at == nil:
		return errUnknown
	case at.revoked || at.family.revoked:
		return errRevoked
	case !now.Before(at.expires):
		return errExpired
	}
	return nil
}

func (b *book) issue(now time.Time, f *family) pair {
	access, at := b.issueAccess(now, f)
	refresh := b.issueRefresh(now, f, at)
	return pair{access, refresh, b.expiresIn}
}

func (b *book) issueAccess(now time.Time, f *family) (string, *accessToken) {
	at := &accessToken{family: f, expires: now.Add(b.accessLife)}
	token := b.newAccess(now, at.expires)
	b.access[token] = at
	return token, at
}

func (b *book) issueRefresh(now time.Time, f *family, at *accessToken) string {
	rt := &refreshToken{family: f, access: at}
	if b.refreshLife > 0 {
		rt.expires = now.Add(b.refreshLife)
	}
	token := b.newRefresh()
	b.refresh[token] = rt
	return token
}

func (b *book) revokeAccess() {
	for _, at := range b.access {
		at.revoked = true
	}
}

func (b *book) revokeAll() {
	b.revokeAccess()
	for _, rt := range b.refresh {
		rt.family.revoked = true
	}
}

// living counts the tokens that would be taken now.
func (b *book) living(now time.Time) (access, refresh int) {
	for token := range b.access {
		if b.check(now, token) == nil {
			access++
		}
	}
	for _, rt := range b.refresh {
		if !rt.family.revoked && rt.spent.IsZero() && (rt.expires.IsZero() || now.Before(rt.expires)) {
			refresh++
		}
	}
	return access, refresh
}
