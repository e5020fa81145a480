package sandbox

import (
	"net/http"
	"sync"
	"time"
)

// Options are the switches that hold for a sandbox's whole life. The zero value
// is what the vendors document.
type Options struct {
	// AccessLifetime, when positive, replaces every vendor's access token
	// lifetime. expires_in is then its whole seconds.
	AccessLifetime time.Duration

	// Rotate makes SocialBoards answer with a new refresh token and spend the
	// one that came. Its page shows the field but does not say; without Rotate
	// the token comes back unchanged. The two others always rotate.
	Rotate bool

	// ReuseDetection revokes a token's whole family, access tokens included,
	// when a spent refresh token comes again after Grace (RFC 9700, section
	// 4.14.2). No vendor documents it.
	ReuseDetection bool

	// Grace is how long after its first redemption a spent refresh token still
	// yields a fresh pair. No vendor documents one.
	Grace time.Duration
}

// A Sandbox is the three vendors. They share no tokens and no state.
type Sandbox struct {
	SocialBoards, OpenTicket, Ticketpark *Provider
}

// New makes the three providers, each with its season's data and no tokens.
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

// A Provider is one vendor's issuer and API on one origin: an [http.Handler],
// safe for concurrent use. Its fields are set by [New] and are only to be read.
type Provider struct {
	Name               string // "socialboards", "openticket" or "ticketpark"
	ClientID           string
	ClientSecret       string // empty for socialboards, whose clients have none
	Username, Password string // for ticketpark's password grant; else empty
	TokenPath          string // where the token endpoint is
	AuthorizePath      string // where the browser is sent for consent; else empty

	vendor vendor

	mu       sync.Mutex // guards all below, and the vendor's own data
	book     *book
	faults   Faults
	counters Counters
}

// A vendor is what the three differ in. Its methods are called with the
// provider's mutex held, and with the request's body read.
type vendor interface {
	// isToken says whether path is the token endpoint.
	isToken(path string) bool
	// token answers the token endpoint. 200 means that a grant was committed.
	token(request) answer
	// refusal is the answer to a request without a living bearer token, and
	// nil for one that has it.
	refusal(request) *answer
	// unauthorized is the answer to a token that is not known.
	unauthorized() answer
	routes() []route
	// fault is the vendor's body for a plain HTTP error.
	fault(status int, text string) answer
}

// Seed starts a new family and returns its first refresh token, as the vendor's
// own settings page or a first login would.
func (p *Provider) Seed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.book.seed(time.Now())
}

// SetFaults replaces the faults; the zero value switches all of them off.
func (p *Provider) SetFaults(f Faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = f
}

// RevokeAccess ends every living access token. Refresh tokens live on.
func (p *Provider) RevokeAccess() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.book.revokeAccess()
}

// RevokeAll ends every living token of both kinds. A later [Provider.Seed] works.
func (p *Provider) RevokeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.book.revokeAll()
}

// Counters is a snapshot of what the provider has seen.
func (p *Provider) Counters() Counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counters
}

// ServeHTTP answers for the issuer, the API and the control paths. It ends with
// [http.ErrAbortHandler] where a fault asks for a dropped connection.
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
