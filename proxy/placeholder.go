package proxy

import (
	"net/http"
	"slices"
	"strconv"
)

// A Placeholder answers apps that do their own OAuth at the provider's token
// path, so that they keep working: with a grant in the provider's own form
// whose tokens are worthless, for the app's Authorization is replaced anyway.
// What the app sends there, credentials among it, goes nowhere.
type Placeholder struct {
	Paths []string // of the token endpoint, as apps call it
	Body  []byte   // JSON
}

// answers reports whether the request is for the placeholder: a POST, or a GET
// that holds a grant_type, which some issuers take too.
func (p *Placeholder) answers(r *http.Request, path string) bool {
	if p == nil || !slices.Contains(p.Paths, path) {
		return false
	}
	return r.Method == http.MethodPost || r.Method == http.MethodGet && r.URL.Query().Has("grant_type")
}

// ServeHTTP implements http.Handler, as RFC 6749, section 5.1, has it.
func (p *Placeholder) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(p.Body)))
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	w.Write(p.Body)
}
