package admin

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"ticketproxy/proxy/inbound"
	"ticketproxy/tokens"
)

// A Config says what the admin listener shows. Its functions are called by many
// goroutines at a time.
type Config struct {
	Version   string
	Guard     *inbound.Guard
	Metrics   http.Handler
	Accounts  func() []tokens.Status
	Warnings  func() []string // what a person should know of the program as a whole; may be nil
	Upstreams []Upstream
	Draining  func() bool
	Refusing  func() bool // reports whether every request is refused; Warnings say why; may be nil
	Quit      func()      // nil when POST /quit is not allowed
}

// An Upstream is what status shows of an upstream.
type Upstream struct {
	Name    string `json:"name"`
	Listen  string `json:"listen"`
	Host    string `json:"host,omitempty"`
	Prefix  string `json:"prefix,omitempty"`
	URL     string `json:"url"`
	Account string `json:"account"`
}

// A Status is the answer to GET /status. It holds no secret.
type Status struct {
	Version   string          `json:"version"`
	Ready     bool            `json:"ready"`
	Draining  bool            `json:"draining"`
	Warnings  []string        `json:"warnings,omitempty"` // of the program as a whole
	Accounts  []tokens.Status `json:"accounts"`
	Upstreams []Upstream      `json:"upstreams"`
}

// admin serves the admin listener.
type admin struct{ config Config }

// NewHandler returns the handler of the admin listener. Health and metrics answer
// any peer and Host, because the kubelet and Prometheus ask at the pod's address.
// The exception is a name that leads to loopback. The rest answers loopback peers
// only, behind the guard.
func NewHandler(c Config) http.Handler {
	if c.Warnings == nil {
		c.Warnings = func() []string { return nil }
	}
	if c.Refusing == nil {
		c.Refusing = func() bool { return false }
	}
	a := &admin{c}
	mux := http.NewServeMux()
	for _, path := range []string{"/livez", "/healthz"} {
		mux.Handle("GET "+path, a.open(a.live))
	}
	mux.Handle("GET /startupz", a.open(a.startup))
	mux.Handle("GET /readyz", a.open(a.ready))
	mux.Handle("GET /metrics", a.open(a.config.Metrics.ServeHTTP))
	mux.Handle("GET /status", a.private(a.status))
	mux.Handle("GET /{$}", a.private(a.page))
	mux.Handle("POST /quit", a.private(a.quit))
	return mux
}

// open refuses web pages of other origins, and those whose own name was rebound
// to loopback.
func (a *admin) open(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := a.config.Guard.RefuseSite
		if byName(r) && onLoopback(r) {
			refuse = a.config.Guard.Refuse
		}
		if p := refuse(r); p != nil {
			p.Answer(w)
			return
		}
		next(w, r)
	})
}

// private also refuses peers on other machines, and Hosts that are not the listener's.
func (a *admin) private(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := a.config.Guard.Refuse(r); p != nil {
			p.Answer(w)
			return
		}
		if !fromLoopback(r) {
			http.Error(w, "only peers on loopback may ask this: use kubectl port-forward", http.StatusForbidden)
			return
		}
		next(w, r)
	})
}

// byName reports whether the Host is a name and no address. A forwarder to loopback in a
// pod may leave the pod's address there, which cannot be rebound.
func byName(r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return net.ParseIP(strings.Trim(host, "[]")) == nil
}

// onLoopback reports whether the connection came to an address of loopback.
func onLoopback(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && local.IP.IsLoopback()
}

func fromLoopback(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func (a *admin) live(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok\n") }

// startup is ok once every account has held a token.
func (a *admin) startup(w http.ResponseWriter, _ *http.Request) {
	for _, account := range a.config.Accounts() {
		if !account.Began {
			text(w, http.StatusServiceUnavailable, "waiting for the first tokens\n")
			return
		}
	}
	text(w, http.StatusOK, "ok\n")
}

func (a *admin) ready(w http.ResponseWriter, r *http.Request) {
	status := a.snapshot()
	body, code := "ok\n", http.StatusOK
	if !status.Ready {
		body, code = "not ready\n", http.StatusServiceUnavailable
	}
	if r.URL.Query().Has("verbose") {
		if status.Draining {
			body += "draining\n"
		}
		for _, warning := range status.Warnings {
			body += "warning: " + warning + "\n"
		}
		for _, account := range status.Accounts {
			body += fmt.Sprintf("account %s: %s", account.Account, account.State)
			if note := RoleNote(account); note != "" {
				body += " (" + note + ")"
			}
			if account.Error != "" {
				body += ": " + account.Error
			}
			if account.Hint != "" {
				body += "; hint: " + account.Hint
			}
			body += "\n"
			for _, warning := range account.Warnings {
				body += fmt.Sprintf("account %s: warning: %s\n", account.Account, warning)
			}
		}
	}
	text(w, code, body)
}

// snapshot returns what is known now. Ready means that each account has a
// usable token, nothing is left to be stored, we are not draining, and we do not refuse every
// request.
func (a *admin) snapshot() Status {
	refusing := a.config.Refusing() // before Warnings, which say why
	s := Status{
		Version:   a.config.Version,
		Draining:  a.config.Draining(),
		Warnings:  a.config.Warnings(),
		Accounts:  a.config.Accounts(),
		Upstreams: a.config.Upstreams,
	}
	s.Ready = !s.Draining && !refusing && len(s.NotReady()) == 0
	return s
}

// NotReady returns the accounts that have no usable token, or something left to be stored.
func (s Status) NotReady() []tokens.Status {
	return slices.DeleteFunc(slices.Clone(s.Accounts), func(a tokens.Status) bool {
		return a.Usable && a.State != tokens.Unsaved
	})
}

// Dead returns the accounts that only a person can help.
func (s Status) Dead() []tokens.Status {
	return slices.DeleteFunc(slices.Clone(s.Accounts), func(a tokens.Status) bool { return a.State != tokens.Dead })
}

func (a *admin) status(w http.ResponseWriter, _ *http.Request) {
	body, err := json.MarshalIndent(a.snapshot(), "", "  ")
	if err != nil { // times, numbers and strings marshal
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(append(body, '\n'))
}

func (a *admin) quit(w http.ResponseWriter, _ *http.Request) {
	if a.config.Quit == nil {
		text(w, http.StatusForbidden, "quitting is not allowed: set TICKETPROXY_ADMIN_QUIT=true\n")
		return
	}
	text(w, http.StatusAccepted, "draining\n")
	a.config.Quit()
}

func text(w http.ResponseWriter, code int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	w.Write([]byte(body))
}
