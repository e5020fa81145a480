package sandbox

import (
	"net/http"
	"sync"
	"time"
)

// Options are fixed when a sandbox is made. With the zero value, the vendors behave
// as they document.
type Options struct {
	// AccessLifetime, when positive, replaces every vendor's access token
	// lifetime. expires_in is then its whole seconds.
	AccessLifetime time.Duration

	// Rotate makes SocialBoards answer with a new refresh token and spend the one in
	// the request. Its page shows the field but does not say whether it rotates.
	// Without Rotate the token comes back unchanged. The two others always rotate.
	Rotate bool

	// ReuseDetection revokes a token's whole family, including access tokens, when a
	// spent refresh token is used again after Grace (RFC 9700, section 4.14.2). No
	// vendor documents it.
	ReuseDetection bool

	// Grace is how long after its first redemption a spent refresh token still gets a
	// new pair. No vendor documents one.
	Grace time.Duration
}

// A Sandbox is the three vendors. They share no tokens and no state.
type Sandbox struct {
	SocialBoards, OpenTicket, Ticketpark *Provider
}

// New makes the three providers, each with its initial data and no tokens.
func New(o Options) *Sandbox {
	return &Sandbox{
		SocialBoards: newSocialBoards(o),
		OpenTicket:   newOpenTicket(o),
		Ticketpark:   newTicketpark(o),
	}
}

// Providers lists the three in alphabetical order.
func (s *Sandbox) Providers() []*Provider {
	return []*Provider{s.OpenTicket, s.SocialBoards, s.Ticketpark}
}

// A Provider is one vendor's issuer and API on one origin. It is an [http.Handler]
// and safe for concurrent use. [New] sets its fields; they must not be changed.
type Provider struct {
	Name               string // "socialboards", "openticket" or "ticketpark"
	ClientID           string
	ClientSecret       string // empty for socialboards, whose clients have no secret
	Username, Password string // for ticketpark's password grant; otherwise empty
	TokenPath          string // path of the token endpoint
	AuthorizePath      string // path of the authorization endpoint; empty if there is none

	vendor vendor

	mu       sync.Mutex // guards the fields below and the vendor's data
	tokens   *tokenStore
	faults   Faults
	counters Counters
}

// A vendor is what differs between the three. Its methods are called with the
// provider's mutex held and the request's body read.
type vendor interface {
	// isToken reports whether path is the token endpoint.
	isToken(path string) bool
	// token answers a request to the token endpoint. 200 means that a grant was committed.
	token(request) answer
	// checkBearer returns the answer to a request without a valid bearer token, and
	// nil for a request with one.
	checkBearer(request) *answer
	// unauthorized returns the answer to an unknown token.
	unauthorized() answer
	routes() []route
	// errorAnswer returns an HTTP error with the vendor's body.
	errorAnswer(status int, text string) answer
}

// Seed starts a new token family and returns its first refresh token, as the vendor's
// settings page or a first login would.
func (p *Provider) Seed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tokens.seed(time.Now())
}

// SetFaults replaces the faults. The zero value switches all of them off.
func (p *Provider) SetFaults(f Faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = f
}

// RevokeAccess revokes every access token. Refresh tokens stay valid.
func (p *Provider) RevokeAccess() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens.revokeAccess()
}

// RevokeAll revokes every token of both kinds. A later [Provider.Seed] works.
func (p *Provider) RevokeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens.revokeAll()
}

// Counters returns a snapshot of the counters.
func (p *Provider) Counters() Counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counters
}

// ServeHTTP serves the issuer, the API and the control paths. It panics with
// [http.ErrAbortHandler] where a fault drops the connection.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case isControl(path):
		p.serveControl(w, r)
	case p.vendor.isToken(path):
		p.serveToken(w, r)
	default:
		p.serveAPI(w, r)
	}
}
