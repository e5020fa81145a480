package proxy

import (
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"ticketproxy/proxy/inbound"
)

// preflight answers the question of a browser whether a page of an allowed
// origin may send a request (Fetch standard, CORS-preflight). It reports
// whether the request is one. The upstream is not asked: the origins that may
// call are the operator's choice.
func preflight(w http.ResponseWriter, r *http.Request, origin string) bool {
	method := r.Header.Get("Access-Control-Request-Method")
	if origin == "" || r.Method != http.MethodOptions || method == "" {
		return false
	}
	h := w.Header()
	allow(h, origin)
	h.Set("Access-Control-Allow-Methods", method)
	if headers := r.Header.Get("Access-Control-Request-Headers"); headers != "" {
		h.Set("Access-Control-Allow-Headers", headers)
	}
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// allow lets a page of origin read the answer, also to a request that the page
// sent with credentials: the operator named the origin, and COOKIES decides
// whether cookies go on.
func allow(h http.Header, origin string) {
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Add("Vary", "Origin")
}

// setCORS replaces the upstream's CORS headers by those that the operator wants, in an
// answer to a browser.
func setCORS(h http.Header, origin string) {
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
	if origin != "" {
		exposed := exposable(h)
		allow(h, origin)
		h.Set("Access-Control-Expose-Headers", exposed)
	}
}

// exposable returns the names of the header fields that a page may read: those
// of h, and those that we may add. An asterisk would mean nothing to a request
// with credentials (Fetch standard, CORS protocol and credentials).
func exposable(h http.Header) string {
	names := []string{"Allow", "Content-Length", "Date", "Retry-After", inbound.ErrorHeader}
	for name := range h {
		if httpguts.ValidHeaderFieldName(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// fromBrowser reports whether a browser sent the request on behalf of a page.
func fromBrowser(r *http.Request) bool {
	_, origin := r.Header["Origin"]
	_, site := r.Header["Sec-Fetch-Site"]
	return origin || site
}
