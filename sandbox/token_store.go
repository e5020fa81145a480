package sandbox

import (
	"errors"
	"time"
)

// The reasons to refuse a token. Each vendor has its own wording for them.
var (
	errUnknown = errors.New("token is not known")
	errRevoked = errors.New("token was revoked")
	errSpent   = errors.New("token was used before")
	errExpired = errors.New("token has expired")
)

// A policy says how long a vendor's tokens are valid and what ends them.
type policy struct {
	rotates       bool          // a refresh token can be redeemed once
	endsOldAccess bool          // a redemption revokes the previous access token
	accessLife    time.Duration // from issue
	expiresIn     int           // the value in the token response
	refreshLife   time.Duration // from issue; 0 if it does not expire
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

// A tokenStore holds every token of an issuer. Not safe for concurrent use.
type tokenStore struct {
	policy
	counters *Counters
	access   map[string]*accessToken
	refresh  map[string]*refreshToken
}

// A family is all tokens that descend from one seed or one login.
type family struct{ revoked bool }

type accessToken struct {
	family  *family
	expires time.Time
	revoked bool
}

type refreshToken struct {
	family   *family
	expires  time.Time    // zero: does not expire
	spent    time.Time    // time of the first redemption; zero: not redeemed
	redeemed int          // number of redemptions
	access   *accessToken // issued together with it; nil for a seed
}

// A pair is the tokens of one token response.
type pair struct {
	access, refresh string
	expiresIn       int
}

func newTokenStore(p policy, c *Counters) *tokenStore {
	return &tokenStore{p, c, map[string]*accessToken{}, map[string]*refreshToken{}}
}

func (s *tokenStore) seed(now time.Time) string {
	return s.issueRefresh(now, &family{}, nil)
}

// firstGrant issues the pair for a password or an authorization code.
func (s *tokenStore) firstGrant(now time.Time) pair {
	s.counters.FirstGrants++
	return s.issue(now, &family{})
}

// redeem spends a refresh token and returns a new pair. After an error only reuse
// detection has changed anything.
func (s *tokenStore) redeem(now time.Time, token string) (pair, error) {
	rt, err := s.checkRefresh(now, token)
	if err != nil {
		s.counters.InvalidGrants++
		return pair{}, err
	}
	s.counters.Redemptions++
	rt.redeemed++
	s.counters.MaxRedemptions = max(s.counters.MaxRedemptions, rt.redeemed)
	if !s.rotates {
		access, _ := s.issueAccess(now, rt.family)
		return pair{access, token, s.expiresIn}, nil
	}
	if rt.spent.IsZero() {
		rt.spent = now
	}
	if s.endsOldAccess && rt.access != nil {
		rt.access.revoked = true
	}
	return s.issue(now, rt.family), nil
}

func (s *tokenStore) checkRefresh(now time.Time, token string) (*refreshToken, error) {
	rt := s.refresh[token]
	if rt == nil {
		return nil, errUnknown
	}
	inGrace := false
	if !rt.spent.IsZero() {
		s.counters.Reuses++
		inGrace = now.Sub(rt.spent) < s.grace
	}
	switch {
	case rt.family.revoked:
		return nil, errRevoked
	case !rt.expires.IsZero() && !now.Before(rt.expires):
		return nil, errExpired
	case rt.spent.IsZero() || inGrace:
		return rt, nil
	case s.reuse:
		rt.family.revoked = true
		s.counters.FamiliesRevoked++
	}
	return nil, errSpent
}

// checkAccess returns the reason to refuse an access token, nil if it is valid.
func (s *tokenStore) checkAccess(now time.Time, token string) error {
	at := s.access[token]
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

func (s *tokenStore) issue(now time.Time, f *family) pair {
	access, at := s.issueAccess(now, f)
	refresh := s.issueRefresh(now, f, at)
	return pair{access, refresh, s.expiresIn}
}

func (s *tokenStore) issueAccess(now time.Time, f *family) (string, *accessToken) {
	at := &accessToken{family: f, expires: now.Add(s.accessLife)}
	token := s.newAccess(now, at.expires)
	s.access[token] = at
	return token, at
}

func (s *tokenStore) issueRefresh(now time.Time, f *family, at *accessToken) string {
	rt := &refreshToken{family: f, access: at}
	if s.refreshLife > 0 {
		rt.expires = now.Add(s.refreshLife)
	}
	token := s.newRefresh()
	s.refresh[token] = rt
	return token
}

func (s *tokenStore) revokeAccess() {
	for _, at := range s.access {
		at.revoked = true
	}
}

func (s *tokenStore) revokeAll() {
	s.revokeAccess()
	for _, rt := range s.refresh {
		rt.family.revoked = true
	}
}

// countUsable counts the tokens that are valid now.
func (s *tokenStore) countUsable(now time.Time) (access, refresh int) {
	for token := range s.access {
		if s.checkAccess(now, token) == nil {
			access++
		}
	}
	for _, rt := range s.refresh {
		if !rt.family.revoked && rt.spent.IsZero() && (rt.expires.IsZero() || now.Before(rt.expires)) {
			refresh++
		}
	}
	return access, refresh
}
