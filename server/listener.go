package server

import (
	"crypto/tls"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"ticketproxy/config"
	"ticketproxy/config/callers"
	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/upstream"
)

// A listener is a server and where it listens. One for apps serves with the newest
// routes.
type listener struct {
	address    config.Address
	variable   string      // that sets the address
	mode       fs.FileMode // of a Unix socket
	upstreams  []string    // their names; none where it is not for apps that call an API by it
	serves     string      // what it is for, where it has no upstreams
	caller     string      // whose own it is; empty where callers prove themselves
	tls        *tls.Config // nil is plain HTTP
	routes     atomic.Pointer[proxy.Handler]
	transports []*upstream.Transport // of routes
	server     *inbound.Server
}

// ServeHTTP implements http.Handler.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.routes.Load().ServeHTTP(w, r)
}

// use has new requests take these routes. The idle connections of the routes before are
// closed, and those in use when their requests are over.
func (l *listener) use(routes *proxy.Handler, transports []*upstream.Transport) {
	l.routes.Store(routes)
	for _, t := range l.transports {
		t.Close()
	}
	l.transports = transports
}

// purpose says what a listener is for.
func (l *listener) purpose() string {
	if l.caller != "" {
		return "the caller " + l.caller
	}
	if l.upstreams == nil {
		return l.serves
	}
	return strings.Join(l.upstreams, ", ")
}

// addApps makes the listeners for apps, which have no routes yet. Port 0 is another
// address each time.
func (s *Server) addApps() {
	limiter, log := appLimiter(s.limitsOfApps(), len(s.config.Upstreams), s.log), s.log.Named("proxy")
	for _, u := range s.config.Upstreams {
		i := slices.IndexFunc(s.apps, func(l *listener) bool {
			return l.address == u.Listen && !strings.HasSuffix(u.Listen.Address, ":0")
		})
		if i < 0 {
			i = len(s.apps)
			l := &listener{address: u.Listen, variable: u.EnvPrefix + "LISTEN", mode: u.SocketMode, tls: s.tlsOf(u.Listen)}
			l.server = inbound.NewServer(l, limiter, log)
			s.recordRefused(l, "request")
			s.apps = append(s.apps, l)
		}
		s.apps[i].upstreams = append(s.apps[i].upstreams, u.Name)
	}
	for _, own := range s.ownListeners() {
		own.server = inbound.NewServer(own, limiter, log)
		s.recordRefused(own, "request")
		s.apps = append(s.apps, own)
	}
}

// routes returns the handler of a listener's upstreams as c says, and the transports
// that it uses.
func (s *Server) routes(l *listener, c config.Config) (*proxy.Handler, []*upstream.Transport) {
	var upstreams []proxy.UpstreamConfig
	var transports []*upstream.Transport
	served := l.served(c, s.callersInUse())
	for _, u := range served {
		transport := upstream.New(upstream.Config{
			Timeout: u.Timeout,
			Roots:   roots(u),
			Proxy:   s.outbound.proxy,
			Dial:    s.outbound.dial,
			Answers: s.answers,
		})
		transports = append(transports, transport)
		up := proxyUpstream(u)
		up.Source, up.Transport = s.sources[u.Account], transport
		up.Observer, up.Log = s.metrics.Upstream(u.Name), s.log.Named("proxy")
		upstreams = append(upstreams, up)
	}
	h := proxy.HandlerConfig{Guard: guardOf(c, l, served...), Budget: s.kept, Gate: s.gateOf(l)}
	if s.audit != nil {
		h.Recorder = recorder{s.audit}
	}
	return proxy.NewHandler(h, upstreams...), transports
}

// proxyUpstream returns what an upstream's variables say of it.
func proxyUpstream(u config.Upstream) proxy.UpstreamConfig {
	return proxy.UpstreamConfig{
		Name:          u.Name,
		Account:       u.Account,
		URL:           u.UpstreamURL,
		Host:          u.Host,
		Prefix:        u.Prefix,
		Locations:     proxy.LocationPolicy(u.Locations),
		Cookies:       u.Cookies == "pass",
		RefusedStatus: refusedStatus(u),
		DropQuery:     u.Dialect.QueryTokens,
		Stub:          stubTokenEndpoint(u),
	}
}

// served returns the upstreams that apps reach at the listener. At one of a caller's own these are
// the upstreams that the caller's rules name.
func (l *listener) served(c config.Config, file callers.File) []config.Upstream {
	return slices.DeleteFunc(slices.Clone(c.Upstreams), func(u config.Upstream) bool {
		if l.caller == "" {
			return !slices.Contains(l.upstreams, u.Name)
		}
		return !file.Callers[l.caller].Names(u.Name)
	})
}

// guardOf returns the guard of a listener, which answers to its own address and to the names of
// the upstreams that it serves. The unspecified address is no address of its own: browsers connect
// to it and do not say which page asks.
func guardOf(c config.Config, l *listener, served ...config.Upstream) *inbound.Guard {
	g := &inbound.Guard{Hosts: slices.Clone(c.AllowedHosts)}
	for _, u := range served {
		if u.Host != "" {
			g.Hosts = append(g.Hosts, u.Host)
		}
	}
	if l.upstreams != nil { // a page that may call an API may not administer us
		g.Origins = c.AllowedOrigins
	}
	host, _, err := net.SplitHostPort(l.address.Address)
	if l.address.Network == "tcp" && err == nil && host != "0.0.0.0" && host != "::" {
		g.Hosts = append(g.Hosts, host)
	}
	return g
}

// refusedStatus returns the statuses of REFUSED_STATUS.
func refusedStatus(u config.Upstream) []int {
	all := make([]int, len(u.RefusedStatus))
	for i, status := range u.RefusedStatus {
		all[i] = int(status)
	}
	return all
}
