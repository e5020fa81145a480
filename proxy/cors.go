package proxy

import (
	"net/http"
	"strings"
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

// allow lets a page of origin read the answer. No credentials are allowed:
// there are none between it and us.
func allow(h http.Header, origin string) {
	h.Set("Access-Control-Allow-Origin", origin)
	h.Add("Vary", "Origin")
}

// share replaces what the upstream says of CORS by what the operator said, in
// an answer to a browser.
func share(h http.Header, origin string) {
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
	if origin != "" {
		allow(h, origin)
		h.Set("Access-Control-Expose-Headers", "*")
	}
}

// fromBrowser reports whether a browser sent the request on behalf of a page.
func fromBrowser(r *http.Request) bool {
	_, origin := r.Header["Origin"]
	_, site := r.Header["Sec-Fetch-Site"]
	return origin || site
}
