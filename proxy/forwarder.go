package proxy

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/upstream"
)

// An UpstreamConfig says which API an upstream is, and where apps reach it.
type UpstreamConfig struct {
	Name      string
	Account   string         // whose tokens are sent
	URL       *url.URL       // the API's origin, with an optional base path
	Host      string         // serve only requests for this Host name; any when empty
	Prefix    string         // serve only this path prefix, which is removed; all when "" or "/"
	Locations LocationPolicy // which Location headers to rewrite; none when ""
	Cookies   bool           // let cookies through, both ways
	// RefusedStatus lists the answers of the API that mean, besides 401, that it refuses
	// the access token.
	RefusedStatus []int

	DropQuery []string           // query parameters to remove: the API would read them as a second token
	Stub      *StubTokenEndpoint // answers apps that do their own OAuth; may be nil
	Source    TokenSource        // of the account's access tokens
	Transport http.RoundTripper  // to the API
	Observer  Observer           // told of every exchange; may be nil
	Log       *zap.Logger        // nothing is logged when nil
}

// A forwarder sends the requests for one upstream to it, and the answers back.
type forwarder struct {
	UpstreamConfig
	proxy   *httputil.ReverseProxy
	headers headerFilters
	buffers bufferPool
	bears   atomic.Pointer[borne] // of the last request
}

// An Observer is told of exchanges. Its methods are called by many goroutines
// at a time and return at once.
type Observer interface {
	// Begin is told of a request that is about to be served. It returns the context
	// to serve it with, which descends from the request's, and what is called with
	// the exchange when it is over.
	Begin(*http.Request) (_ context.Context, end func(Exchange))
	// Replayed reports what became of a request whose token the API refused:
	// "healed", "refused" again, "failed" to get a token or to send, "unreplayable", or "paused"
	// when no refresh could be made for it yet.
	// The context is Begin's, or descends from it.
	Replayed(ctx context.Context, outcome string)
}

// nopObserver is the Observer of an UpstreamConfig without one.
type nopObserver struct{}

func (nopObserver) Begin(r *http.Request) (context.Context, func(Exchange)) {
	return r.Context(), func(Exchange) {}
}

func (nopObserver) Replayed(context.Context, string) {}

// An Exchange is one request and its answer, as metrics see them.
type Exchange struct {
	Method   string
	Caller   string        // by the name in CALLERS_FILE; empty where nobody is asked
	Status   int           // 499 when the app left before an answer
	Took     time.Duration // from the request's header to the answer's last byte
	Overhead time.Duration // our own share of the time to the answer's header
}

// statusClientLeft is what is counted for an app that left; it is never sent.
const statusClientLeft = 499

// serve answers one request that the guard let through, whose caller is known.
func (u *forwarder) serve(w http.ResponseWriter, r *http.Request, v visit) {
	path := u.within(pathOf(r))
	if u.confined() && escapesBase(path) {
		p := inbound.NewProblem(http.StatusBadRequest, "bad_path", "This path may leave the upstream's base path",
			"it has a dot segment, . or .., which the app is to resolve")
		refuse(w, p, v.origin)
		return
	}
	if gate := v.handler.Gate; gate != nil {
		asked := Request{Upstream: u.Name, Account: u.Account, Method: r.Method, Path: u.below(path), Header: r.Header}
		if r.Header["Upgrade"] != nil {
			ctx, cut := context.WithCancelCause(r.Context())
			defer cut(nil)
			r, asked.Cut = r.WithContext(ctx), func() { cut(errNotAllowed) }
		}
		release, p := gate.Admit(v.caller, asked)
		if p != nil {
			p.Upstream = u.Name
			refuse(w, p, v.origin)
			return
		}
		defer release()
	}
	x := &requestState{
		incoming: incoming{
			host:    r.Host,
			scheme:  inbound.SchemeOf(r),
			browser: fromBrowser(r),
			origin:  v.origin,
			conn:    inbound.ConnOf(r.Context()),
			caller:  v.caller.Name,
			gate:    v.handler.Gate,
		},
		timing:    timing{began: time.Now()},
		bodyState: bodyState{budget: v.handler.Budget, buffers: &u.buffers, control: *http.NewResponseController(w)},
		header:    w.Header(),
	}
	defer x.end()
	ctx, observed := u.Observer.Begin(r)
	defer func() {
		v.record.ended(r.Context(), x)
		observed(x.summary(r.Method))
	}()
	defer func() {
		if p := recover(); p != nil {
			if x.status >= 200 {
				x.control.Flush() // sends what has arrived of an answer that broke off
			}
			panic(p)
		}
	}()
	x.writer = interimWriter{ResponseWriter: w, headers: &u.headers, state: x, http10: !r.ProtoAtLeast(1, 1)}
	x.writer.body, _ = r.Body.(*inbound.ExpectedBody)
	u.proxy.ServeHTTP(&x.writer, x.serving(r, ctx))
}

// errNotAllowed ends a request that its Gate does not allow any more.
const errNotAllowed = inbound.Cut("CALLERS_FILE does not allow it any more")

// refuses reports whether an answer of this status refuses the access token.
func (u *forwarder) refuses(status int) bool {
	return status == http.StatusUnauthorized || slices.Contains(u.RefusedStatus, status)
}

func newForwarder(c UpstreamConfig) *forwarder {
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Observer == nil {
		c.Observer = nopObserver{}
	}
	c.Log = c.Log.With(zap.String("upstream", c.Name))
	u := &forwarder{UpstreamConfig: c, headers: newHeaderFilters(c.Cookies)}
	u.proxy = &httputil.ReverseProxy{
		Rewrite:        u.rewrite,
		Transport:      &bearer{forwarder: u},
		ModifyResponse: u.received,
		ErrorHandler:   u.fail,
		BufferPool:     &u.buffers,
		ErrorLog:       log.New(io.Discard, "", 0), // it quotes the upstream, as cause must not
	}
	return u
}

// rewrite addresses the outgoing request to the upstream. Path and query go
// out byte for byte; only the prefix and the base path change places.
func (u *forwarder) rewrite(p *httputil.ProxyRequest) {
	in, out, path := p.In.URL, p.Out.URL, pathOf(p.In)
	out.Scheme, out.Host, p.Out.Host = u.URL.Scheme, u.URL.Host, ""
	out.RawQuery, out.ForceQuery = dropParams(in.RawQuery, u.DropQuery), in.ForceQuery // ReverseProxy cleans them
	if path != "*" {
		setPath(out, u.below(u.within(path)))
	}
	u.headers.sanitizeRequest(p.Out.Header)
	p.Out.Trailer = nil // a body kept for a replay would send them
}

// moveAnswer moves the fields of an answer's header to where the app's answer has them. ReverseProxy
// (Go 1.26) would copy each. It would also flush by a timer, or after each write where the length is
// not known; BeforeWait does that when it is needed.
func moveAnswer(res *http.Response, to http.Header) {
	for name, values := range res.Header {
		if before := to[name]; len(before) > 0 {
			values = append(before, values...)
		}
		to[name] = values
	}
	res.Header, res.ContentLength = nil, 0
}

// BeforeWait implements upstream.Waiter: what has come of an answer goes out before the rest is
// waited for.
func (x *requestState) BeforeWait() { x.control.Flush() }

var errStatus = errors.New("the answer's status is none")

// received notes the answer's header, and keeps the server from adding to it.
func (u *forwarder) received(res *http.Response) error {
	x := stateOf(res.Request.Context())
	if res.StatusCode/100 == 0 {
		return errStatus
	}
	x.answered(res.StatusCode)
	if x.gate != nil && (res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable) {
		x.gate.Throttled(u.Account, res.Header)
	}
	if _, ok := res.Header["Content-Type"]; !ok {
		x.header["Content-Type"] = nil
	}
	u.headers.sanitizeResponse(res.Header, x)
	u.headers.sanitizeTrailer(res.Trailer, x.token.AccessToken.Reveal())
	res.Status = "" // a 101's is passed on as it came, and may hold anything
	u.rewriteLocations(res, x.scheme, x.host)
	if res.StatusCode != http.StatusSwitchingProtocols {
		if body, ok := res.Body.(interface{ OnWait(upstream.Waiter) }); ok {
			body.OnWait(x)
		}
		if res.ContentLength == -1 {
			x.trailed = trailedBody{res.Body, res, x.token.AccessToken.Reveal(), u.headers}
			res.Body = &x.trailed
			// Without it, net/http's server (Go 1.26) would give a short answer a Content-Length. The
			// server removes it for HTTP/1.0. TestAnswersKeepTheirFraming holds this.
			x.header["Transfer-Encoding"] = []string{"chunked"}
		}
		moveAnswer(res, x.header)
	}
	u.Log.Debug("request", zap.String("method", res.Request.Method), zap.Int("status", res.StatusCode))
	return nil
}

// A bufferPool implements httputil.BufferPool. The zero value is ready.
type bufferPool struct{ pool sync.Pool }

const copyBufferSize = 32 << 10

func (b *bufferPool) Get() []byte {
	if p, ok := b.pool.Get().(*[copyBufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, copyBufferSize)
}

func (b *bufferPool) Put(p []byte) { b.pool.Put((*[copyBufferSize]byte)(p)) }
