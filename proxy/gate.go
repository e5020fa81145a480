package proxy

import (
	"net/http"
	"time"

	"ticketproxy/proxy/inbound"
	"ticketproxy/secret"
)

// A Gate knows who calls, and what callers may do. Safe for concurrent use.
type Gate interface {
	inbound.Authenticator
	// Admit decides whether a caller may send a request now. It returns the answer for one that
	// may not: 403 "forbidden", or 429 "rate_limited". Otherwise release is called once, when
	// the exchange is over.
	Admit(caller inbound.Caller, r Request) (release func(), _ *inbound.Problem)
	// Throttled is told that the API answered 429 (RFC 6585, section 4) or 503, with the header
	// of that answer, in which Retry-After may ask for a pause (RFC 9110, section 10.2.3).
	Throttled(account string, h http.Header)
	// Grant answers a token request at a [StubTokenEndpoint] with a proof of the client that the
	// request authenticates. The caller is returned with a problem, too, if it was proved. It may
	// read the body.
	Grant(r *http.Request) (inbound.Caller, Grant, *inbound.Problem)
}

// A Grant is what an app gets at a [StubTokenEndpoint] where callers are known.
type Grant struct {
	AccessToken secret.String
	Until       time.Time // when the access token expires; zero when it does not
}

// A Request is what a Gate's rules are about.
type Request struct {
	Upstream string
	Account  string
	Method   string
	Path     string // as the API sees it, percent-encoded
	Header   http.Header
	// Cut ends the exchange. It is set for a request to upgrade its connection, which may last
	// for long: the Gate calls it when the caller may not send the request any more. An app that has
	// no answer yet gets 403.
	Cut func()
}

// refuse answers a request with a problem that the page which sent it may read.
func refuse(w http.ResponseWriter, p *inbound.Problem, origin string) {
	if x, ok := w.(*recording); ok {
		x.Reason = p.Detail
	}
	setCORS(w.Header(), origin)
	p.Answer(w)
}
