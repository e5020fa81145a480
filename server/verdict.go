package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"ticketproxy/config"
	"ticketproxy/config/callers"
	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/inbound/authn"
	"ticketproxy/proxy/policy"
	"ticketproxy/secret"
)

// An Ask is a request as an app would send it, to be told what serve does with it.
type Ask struct {
	Caller string
	Listen config.Address // of the listener that it is sent to
	Own    string         // the caller whose own listener that is; "" for one that upstreams name
	Method string
	Host   string // as in the URL
	Target string // path and query, as they stand in the request's first line

	// Without Basic the caller is taken for proved.
	Basic bool // User and Key are sent as Basic
	User  string
	Key   secret.String
}

// A Verdict is what serve does with a request.
type Verdict struct {
	Caller   string // who is proved; "" when nobody is
	Upstream string // that the request leads to; "" when it leads to none
	Account  string // to whose limits it counts; "" when it counts to none
	// Code and Detail are those of the answer of our own; "" when the request goes to the API,
	// and when the stub token endpoint gives a grant.
	Code, Detail string
	Stub         bool            // it is for the stub token endpoint
	Decision     policy.Decision // of the caller's rules; zero when they were not asked
}

// Judge returns what serve does with a request. It has the handler of a listener serve it, in front
// of an API that is not there. Nothing is sent, and nothing counts to a rate.
func Judge(c config.Config, file callers.File, ask Ask) (Verdict, error) {
	j := &judge{ask: ask, policy: policy.New(file, nil)}
	var err error
	if j.keys, err = authn.New(authn.Config{File: withoutIssuers(file)}); err != nil {
		return Verdict{}, err
	}
	r, err := ask.request(c)
	if err != nil {
		return Verdict{Code: "bad_request", Detail: "the URL or the Host is not as HTTP/1.1 has it"}, nil
	}
	l := &listener{address: ask.Listen, caller: ask.Own, upstreams: []string{}}
	for _, u := range c.Upstreams {
		if u.Listen == ask.Listen {
			l.upstreams = append(l.upstreams, u.Name)
		}
	}
	served := l.served(c, file)
	var upstreams []proxy.UpstreamConfig
	for _, u := range served {
		up := proxyUpstream(u)
		up.Source, up.Transport = j, j
		upstreams = append(upstreams, up)
	}
	h := proxy.HandlerConfig{
		Guard:    guardOf(c, l, served...),
		Budget:   proxy.NewReplayBudget(),
		Gate:     j,
		Recorder: j,
	}
	proxy.NewHandler(h, upstreams...).ServeHTTP(discard{http.Header{}}, r)
	return j.verdict, nil
}

// withoutIssuers returns the callers with what proves them and nobody needs to be asked about.
func withoutIssuers(file callers.File) callers.File {
	keys := callers.File{Callers: map[string]callers.Caller{}}
	for name, c := range file.Callers {
		keys.Callers[name] = callers.Caller{Name: name, Keys: c.Keys, Listen: c.Listen}
	}
	return keys
}

// request returns the request as the listener's server would read it.
func (a Ask) request(c config.Config) (*http.Request, error) {
	text := a.Method + " " + a.Target + " HTTP/1.1\r\nHost: " + a.Host + "\r\n\r\n"
	if strings.Count(text, "\r") != 3 || strings.Count(text, "\n") != 3 {
		return nil, errors.New("it has a line break")
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		return nil, err
	}
	r.RemoteAddr = "127.0.0.1:1"
	if SpeaksTLS(c, a.Listen) {
		r.TLS = new(tls.ConnectionState)
	}
	if a.Basic {
		r.SetBasicAuth(a.User, a.Key.Reveal())
	}
	return r.WithContext(context.WithValue(context.Background(), http.LocalAddrContextKey, a.local())), nil
}

// local returns the address that a connection of the request comes in on. At a listener for all
// addresses it is the one that the URL names.
func (a Ask) local() net.Addr {
	if a.Listen.Network == "unix" {
		return &net.UnixAddr{Net: "unix", Name: a.Listen.Address}
	}
	listen := netip.AddrPortFrom(netip.IPv6Loopback(), 0)
	if at, err := netip.ParseAddrPort(a.Listen.Address); err == nil { // it may be localhost
		listen = at
	}
	if named, err := netip.ParseAddr(hostOf(a.Host)); err == nil && listen.Addr().IsUnspecified() {
		listen = netip.AddrPortFrom(named, listen.Port())
	}
	return net.TCPAddrFromAddrPort(listen)
}

// hostOf returns the host of an authority.
func hostOf(authority string) string {
	if host, _, err := net.SplitHostPort(authority); err == nil {
		return host
	}
	return strings.Trim(authority, "[]")
}

// A judge is all that the handler of a listener needs, for one request.
type judge struct {
	ask     Ask
	policy  *policy.Policy
	keys    *authn.Authenticator
	verdict Verdict
}

// Authenticate implements inbound.Authenticator.
func (j *judge) Authenticate(r *http.Request) (inbound.Caller, *inbound.Problem) {
	switch {
	case j.ask.Own != "":
		return j.keys.Listener(j.ask.Own, callers.Address(j.ask.Listen)).Authenticate(r)
	case j.ask.Basic:
		return j.keys.Authenticate(r)
	}
	return inbound.Caller{Name: j.ask.Caller}, nil
}

// Admit implements proxy.Gate.
func (j *judge) Admit(caller inbound.Caller, r proxy.Request) (release func(), _ *inbound.Problem) {
	j.verdict.Decision = j.policy.Decide(caller.Name, askedOf(r))
	if !j.verdict.Decision.Allowed() {
		return nil, forbidden(j.verdict.Decision)
	}
	return func() {}, nil
}

// Throttled implements proxy.Gate.
func (j *judge) Throttled(string, http.Header) {}

// Grant implements proxy.Gate.
func (j *judge) Grant(r *http.Request) (inbound.Caller, proxy.Grant, *inbound.Problem) {
	j.verdict.Stub = true
	caller, p := j.Authenticate(r)
	return caller, proxy.Grant{AccessToken: secret.New(proxy.Placeholder)}, p
}

// Begin implements proxy.Recorder.
func (j *judge) Begin(*http.Request) (end func(proxy.Record), _ *inbound.Problem) {
	return func(r proxy.Record) {
		v := &j.verdict
		v.Caller, v.Upstream, v.Code, v.Detail = r.Caller.Name, r.Upstream, r.Code, r.Reason
		if !v.Stub {
			v.Account = r.Account
		}
	}, nil
}

// Token implements proxy.TokenSource.
func (j *judge) Token(context.Context) (proxy.Token, error) { return proxy.Token{}, nil }

// Renew implements proxy.TokenSource.
func (j *judge) Renew(context.Context, proxy.Token) (proxy.Token, error) { return proxy.Token{}, nil }

// Refused implements proxy.TokenSource.
func (j *judge) Refused(proxy.Token) {}

// RoundTrip implements http.RoundTripper: the API that is not there.
func (j *judge) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// discard is an http.ResponseWriter for an answer that nobody reads.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}
