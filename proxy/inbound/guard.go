package inbound

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A Guard refuses requests from clients that must not use a listener: a port that
// adds credentials is a target for every web page that a browser on this machine
// opens, by a request across sites or by DNS rebinding. Its fields are set
// before the first request and not changed.
type Guard struct {
	// Hosts are the names that the listener answers to, each with an optional
	// port, besides localhost, 127.0.0.1, [::1], and the address off loopback that
	// a connection came in on.
	Hosts []string
	// Origins are the web origins that may call it, as scheme://host[:port].
	Origins []string
}

// Refuse returns the problem with a request; nil when it may pass.
func (g *Guard) Refuse(r *http.Request) *Problem {
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
		p := NewProblem(http.StatusMethodNotAllowed, "method_not_allowed", "This method is not served",
			"CONNECT and TRACE are never passed on")
		p.Allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
		return p
	}
	if !g.hostAllowed(r) {
		return NewProblem(http.StatusMisdirectedRequest, "host_not_allowed", "This Host is not served here",
			"the Host header names none of this listener's names; TICKETPROXY_ALLOWED_HOSTS adds one")
	}
	return g.RefuseSite(r)
}

// RefuseSite is the part of Refuse that concerns web pages of other origins.
func (g *Guard) RefuseSite(r *http.Request) *Problem {
	if g.Origin(r) != "" {
		return nil
	}
	origin, sent := r.Header["Origin"]
	own := sent && len(origin) == 1 && sameOrigin(origin[0], r)
	site, browser := r.Header["Sec-Fetch-Site"]
	switch {
	case sent && !own: // a page of another origin
	case slices.ContainsFunc(site, crossSite) && !g.linkedByAllowedPage(r):
	case speculative(r.Header): // no person asked for it
	case browser && g.namesForeignPage(r):
	default:
		return nil
	}
	return NewProblem(http.StatusForbidden, "cross_site", "Web pages of other origins may not call this",
		"the request comes from a web page; TICKETPROXY_ALLOWED_ORIGINS admits an origin")
}

// Origin returns the allowed web origin that the request comes from, "" when it
// comes from none.
func (g *Guard) Origin(r *http.Request) string {
	if origin := r.Header["Origin"]; len(origin) == 1 && g.allowed(origin[0]) {
		return origin[0]
	}
	return ""
}

// hostAllowed reports whether the request's Host is one of ours.
func (g *Guard) hostAllowed(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if r.URL.Scheme != "" && !ownForm(r, local) {
		return false
	}
	name, _ := splitHost(r.Host)
	switch name {
	case "localhost", "127.0.0.1", "::1":
		return true
	}
	switch local := local.(type) {
	case *net.UnixAddr: // no browser gets there
		return true
	case *net.TCPAddr:
		if isOwnAddress(name, local) {
			return true
		}
	}
	return slices.ContainsFunc(g.Hosts, func(h string) bool { return HostMatches(h, r) })
}

// isOwnAddress reports whether name is the address that a connection came in
// on, which DNS rebinding cannot forge. Loopback and the unspecified address do
// not count: browsers connect to them by many spellings, such as
// [::ffff:127.0.0.1] and 0.0.0.0, and for some of them send no header that names the
// page.
func isOwnAddress(name string, local *net.TCPAddr) bool {
	address, err := netip.ParseAddr(name)
	if address = address.Unmap(); err != nil || address.IsLoopback() || address.IsUnspecified() {
		return false
	}
	return address == local.AddrPort().Addr().Unmap().WithZone("")
}

// ownForm reports whether an absolute form (RFC 9112, section 3.2.2) may be of
// this listener, and is not of another server to which a client takes us for a
// proxy.
func ownForm(r *http.Request, local net.Addr) bool {
	u := r.URL
	if u.Scheme != SchemeOf(r) || u.Host == "" || u.User != nil { // http:elsewhere/x would go out as it is
		return false
	}
	tcp, ok := local.(*net.TCPAddr)
	return !ok || u.Port() == "" || u.Port() == strconv.Itoa(tcp.Port)
}

func (g *Guard) allowed(origin string) bool {
	return slices.ContainsFunc(g.Origins, func(o string) bool { return strings.EqualFold(o, origin) })
}

// SchemeOf returns the scheme of the URL that a request was sent to.
func SchemeOf(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// sameOrigin reports whether origin is the one that the request was sent to.
func sameOrigin(origin string, r *http.Request) bool {
	return r.Host != "" && strings.EqualFold(origin, SchemeOf(r)+"://"+r.Host)
}

// linkedByAllowedPage reports whether a page of an allowed origin links here, or shows
// what is here in a frame or as an image: of such a GET browsers name the page
// in Referer alone.
func (g *Guard) linkedByAllowedPage(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header["Origin"] != nil ||
		len(r.Header["Referer"]) != 1 {
		return false
	}
	scheme, authority, _ := SplitReference(r.Header["Referer"][0])
	return g.allowed(scheme + "://" + authority)
}

// namesForeignPage reports whether the browser names a page in Referer, of an origin that
// may not call.
func (g *Guard) namesForeignPage(r *http.Request) bool {
	return slices.ContainsFunc(r.Header["Referer"], func(page string) bool {
		scheme, authority, _ := SplitReference(page)
		origin := scheme + "://" + authority
		return !sameOrigin(origin, r) && !g.allowed(origin)
	})
}

// speculative reports whether a browser loads something before a person asks for it,
// by a page's speculation rules. Browsers then send the Sec-Fetch-Site of a typed
// address, whatever the page's origin.
func speculative(h http.Header) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Moz"} {
		if slices.ContainsFunc(h[name], func(purpose string) bool {
			return strings.Contains(strings.ToLower(purpose), "prefetch") // "prefetch;prerender", too
		}) {
			return true
		}
	}
	return false
}

// crossSite reports whether a Sec-Fetch-Site names another site. An unknown
// value may be a new one that also means cross-site.
func crossSite(site string) bool {
	return site != "" && site != "none" && site != "same-origin"
}
