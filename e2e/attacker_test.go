package e2e

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
)

//go:embed pages/attack.js
var attackScript string

// An attacker is a web server with hostile pages. The pages report back to it.
type attacker struct {
	*httptest.Server
	port    string
	reports chan report
	waiting chan struct{} // gets a value for each page that waits at the gate
	gate    chan struct{} // closed to let the pages continue
}

func startAttacker(t *testing.T) *attacker {
	t.Helper()
	a := &attacker{reports: make(chan report, 8), waiting: make(chan struct{}, 8), gate: make(chan struct{})}
	a.Server = httptest.NewServer(a.pages())
	_, a.port, _ = net.SplitHostPort(a.Listener.Addr().String())
	t.Cleanup(func() { a.Config.Close() })
	return a
}

func (a *attacker) pages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /attack.js", func(w http.ResponseWriter, r *http.Request) {
		allowCORS(w, r)
		w.Header().Set("Content-Type", "text/javascript")
		io.WriteString(w, attackScript)
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		status, err := strconv.Atoi(r.FormValue("status"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		allowCORS(w, r)
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(status)
	})
	mux.HandleFunc("GET /refresh", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<meta http-equiv="refresh" content="0;url=%s">`, r.FormValue("to"))
	})
	mux.HandleFunc("GET /report-to", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", "img-src 'none'; report-uri "+r.FormValue("to"))
		io.WriteString(w, `<img src="/refused-by-policy">`)
	})
	mux.HandleFunc("GET /gate", func(w http.ResponseWriter, r *http.Request) {
		allowCORS(w, r)
		a.waiting <- struct{}{}
		select {
		case <-a.gate:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /report", func(w http.ResponseWriter, r *http.Request) {
		allowCORS(w, r)
		var report report
		if err := json.NewDecoder(r.Body).Decode(&report); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		a.reports <- report
	})
	return mux
}

// serve adds a page at a path.
func (a *attacker) serve(path, page string) {
	pages := a.Config.Handler.(*http.ServeMux)
	pages.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, page)
	})
}

// origin returns the attacker's origin under a host name that resolves to it.
func (a *attacker) origin(host string) string { return "http://" + net.JoinHostPort(host, a.port) }

// A target is a server under attack.
type target struct {
	Name   string `json:"name"`
	Origin string `json:"origin"`
	Read   string `json:"read"`  // path for attacks that read
	Write  string `json:"write"` // path for attacks that write
}

// attackPage returns a page that attacks the targets and reports to origin, the
// attacker's. A gated page first waits for the gate.
func attackPage(origin string, gated bool, targets ...target) string {
	list, err := json.Marshal(targets)
	if err != nil { // strings always marshal
		panic(err)
	}
	begin := "Promise.resolve()"
	if gated {
		begin = "fetch('" + origin + "/gate', {cache: 'no-store'})" // with a cache the pages would wait for each other
	}
	const page = `<!doctype html><title>x</title><body><script src="%s/attack.js"></script>` +
		`<script>%s.then(() => runAttacks(%s, %q))</script>`
	return fmt.Sprintf(page, origin, begin, list, origin)
}

// A report is what a page tells the attacker.
type report struct {
	Page    string   `json:"page"`    // host name of the page
	Attacks []string `json:"attacks"` // names of all attacks; each target got each
	Reads   []struct {
		Target string `json:"target"`
		Attack string `json:"attack"`
		Text   string `json:"text"`
	} `json:"reads"`
}
