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

// An attacker is a web server with hostile pages, to which they report.
type attacker struct {
	*httptest.Server
	port    string
	reports chan report
	waiting chan struct{} // has a value for each page that came to the gate
	gate    chan struct{} // closed to let them go on
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

// serve makes a page of its own at a path of the attacker's.
func (a *attacker) serve(path, page string) {
	pages := a.Config.Handler.(*http.ServeMux)
	pages.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, page)
	})
}

// origin is the attacker's under a name that is resolved to it.
func (a *attacker) origin(host string) string { return "http://" + net.JoinHostPort(host, a.port) }

// A target is where an attack aims.
type target struct {
	Name   string `json:"name"`
	Origin string `json:"origin"`
	Read   string `json:"read"`  // the path for attacks that read
	Write  string `json:"write"` // and for those that write
}

// campaign returns a page that attacks the targets, and reports home. It waits
// for the gate first if it is told to.
func campaign(home string, gated bool, targets ...target) string {
	list, err := json.Marshal(targets)
	if err != nil { // strings and numbers marshal
		panic(err)
	}
	begin := "Promise.resolve()"
	if gated {
		begin = "fetch('" + home + "/gate', {cache: 'no-store'})" // else one page waits for the other's answer
	}
	return fmt.Sprintf(`<!doctype html><title>x</title><body><script src="%s/attack.js"></script><script>%s.then(() => campaign(%s, %q))</script>`,
		home, begin, list, home)
}

// A report is what a page tells the attacker.
type report struct {
	Page    string   `json:"page"`    // whose host this is
	Attacks []string `json:"attacks"` // the names of all that were tried on each target
	Reads   []struct {
		Target string `json:"target"`
		Attack string `json:"attack"`
		Text   string `json:"text"`
	} `json:"reads"`
}
