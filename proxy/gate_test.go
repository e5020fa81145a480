package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
	"ticketproxy/secret"
)

// A fakeGate knows the caller "shop" by the proof "Bearer proof". The caller may do all but
// DELETE.
type fakeGate struct {
	mu        sync.Mutex
	asked     []proxy.Request
	held      int
	throttled []string
	until     time.Time // when what Grant gives expires
}

func (g *fakeGate) Authenticate(r *http.Request) (inbound.Caller, *inbound.Problem) {
	if r.Header.Get("Authorization") != "Bearer proof" && r.Header.Get("Proxy-Authorization") != "Bearer proof" {
		return inbound.Caller{}, inbound.NewProblem(http.StatusUnauthorized, "unauthenticated", "The caller is not known", "no proof")
	}
	return inbound.Caller{Name: "shop", Proof: "key"}, nil
}

func (g *fakeGate) Admit(caller inbound.Caller, r proxy.Request) (func(), *inbound.Problem) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, r)
	if caller.Name != "shop" || r.Method == http.MethodDelete {
		return nil, inbound.NewProblem(http.StatusForbidden, "forbidden", "The caller may not do this", "no rule")
	}
	g.held++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.held--
	}, nil
}

func (g *fakeGate) Throttled(account string, h http.Header) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.throttled = append(g.throttled, account+" "+h.Get("Retry-After"))
}

func (g *fakeGate) Grant(r *http.Request) (inbound.Caller, proxy.Grant, *inbound.Problem) {
	if r.FormValue("client_secret") != "proof" {
		return inbound.Caller{}, proxy.Grant{}, inbound.NewProblem(http.StatusUnauthorized, "unauthenticated", "The client is not known", "no proof")
	}
	return inbound.Caller{Name: "shop", Proof: "key"}, proxy.Grant{AccessToken: secret.New("tpp_bound"), Until: g.until}, nil
}

// records is a Recorder.
type records struct {
	mu      sync.Mutex
	all     []proxy.Record
	refused bool // nothing can be recorded
}

func (l *records) Begin(*http.Request) (func(proxy.Record), *inbound.Problem) {
	if l.refused {
		return nil, inbound.NewProblem(http.StatusServiceUnavailable, "audit_unavailable", "Cannot be recorded", "the disk is full")
	}
	return func(r proxy.Record) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, r)
	}, nil
}

// last returns the last record in a short form.
func (l *records) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return "none"
	}
	r := l.all[len(l.all)-1]
	return fmt.Sprintf("%s %s %s %s %s %d %s %s %d", r.Caller.Name, r.Caller.Proof, r.Upstream, r.Account, r.Method, r.Status, r.Code,
		r.Path, r.Generation)
}

func withGate(gate *fakeGate, log *records) func(*fixture) {
	return func(w *fixture) {
		w.gate, w.recorder = gate, log
		w.guard.Origins = []string{"https://page.test"}
		w.upstream.Account, w.upstream.Prefix, w.upstream.URL = "acme", "/park", parse(w, "http://api.test/base")
		w.upstream.Stub = &proxy.StubTokenEndpoint{Paths: []string{"/token"}, Body: []byte(`{"access_token":"ticketproxy-placeholder"}`)}
	}
}

func TestGate(t *testing.T) {
	t.Parallel()
	api := func(w http.ResponseWriter, r *http.Request) {
		if proof := r.Header.Get("Proxy-Authorization"); proof != "" || r.Header.Get("Authorization") != bearer(1) {
			t.Errorf("the API got the proofs %q and %q", proof, r.Header.Get("Authorization"))
		}
		io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/base/busy":
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		case "/base/down":
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		io.WriteString(w, "hello")
	}
	for name, tt := range map[string]struct {
		method, target, body string
		header               []string
		status               int
		asked                string // of which path
		record               string
	}{
		"served": {"GET", "/park/a%2Fb?secret=x", "", []string{"Authorization", "Bearer proof"}, 200, "/base/a%2Fb",
			"shop key park acme GET 200  /park/a%2Fb 1"},
		"by the other field": {"GET", "/park/a", "", []string{"Proxy-Authorization", "Bearer proof", "Authorization", "Basic x"}, 200, "/base/a",
			"shop key park acme GET 200  /park/a 1"},
		"unknown":          {"GET", "/park/a", "", nil, 401, "", "  park acme GET 401 unauthenticated /park/a 0"},
		"unknown, nowhere": {"GET", "/none", "", nil, 401, "", "    GET 401 unauthenticated /none 0"},
		"nowhere":          {"GET", "/none", "", []string{"Authorization", "Bearer proof"}, 404, "", "shop key   GET 404 no_such_upstream /none 0"},
		"forbidden": {"DELETE", "/park/a", "", []string{"Authorization", "Bearer proof", "Origin", "https://page.test"}, 403, "/base/a",
			"shop key park acme DELETE 403 forbidden /park/a 0"},
		"preflight": {"OPTIONS", "/park/a", "", []string{"Origin", "https://page.test", "Access-Control-Request-Method", "PUT"}, 204, "",
			"    OPTIONS 204  /park/a 0"},
		"foreign page": {"GET", "/park/a", "", []string{"Authorization", "Bearer proof", "Origin", "https://evil.test"}, 403, "",
			"    GET 403 cross_site /park/a 0"},
		"throttled": {"GET", "/park/busy", "", []string{"Authorization", "Bearer proof"}, 429, "/base/busy",
			"shop key park acme GET 429  /park/busy 1"},
		"unavailable": {"GET", "/park/down", "", []string{"Authorization", "Bearer proof"}, 503, "/base/down",
			"shop key park acme GET 503  /park/down 1"},
		"with a body": {"POST", "/park/a", "seven!!", []string{"Authorization", "Bearer proof"}, 200, "/base/a",
			"shop key park acme POST 200  /park/a 1"},
		"token request": {"POST", "/park/token", "client_secret=proof", []string{"Content-Type", "application/x-www-form-urlencoded"}, 200, "",
			"shop key park acme POST 200  /park/token 0"},
		"wrong client": {"POST", "/park/token", "client_secret=guess", []string{"Content-Type", "application/x-www-form-urlencoded"}, 401, "",
			"  park acme POST 401 unauthenticated /park/token 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gate, log := new(fakeGate), new(records)
			w := begin(t, http.HandlerFunc(api), withGate(gate, log))
			res, body := w.do(tt.method, tt.target, strings.NewReader(tt.body), tt.header...)
			is(t, "status", res.StatusCode, tt.status)
			w.server.Drain(t.Context()) // the record is made when the request is over
			is(t, "record", log.last(), tt.record)
			is(t, "bytes in the record", log.all[0].Sent, int64(len(body)))
			asked := ""
			for _, r := range gate.asked {
				asked += r.Path
			}
			is(t, "path that the rules are asked for", asked, tt.asked)
			is(t, "requests that the gate holds", gate.held, 0)
			if strings.Contains(body, "placeholder") {
				t.Errorf("the placeholder is not the caller's: %s", body)
			}
			if name == "token request" {
				is(t, "token answer", body, `{"access_token":"tpp_bound"}`)
				is(t, "bytes received in the record", log.all[0].Received, int64(len(tt.body)))
			}
			if name == "wrong client" && !strings.Contains(body, `"error":"invalid_client","error_description":"no proof"`) {
				t.Errorf("an OAuth client cannot read %s", body)
			}
			if name == "with a body" {
				is(t, "bytes received in the record", log.all[0].Received, 7)
			}
			if name == "throttled" || name == "unavailable" {
				is(t, "throttled", strings.Join(gate.throttled, " "), "acme 7")
			}
			if name == "forbidden" {
				is(t, "page that may read it", res.Header.Get("Access-Control-Allow-Origin"), "https://page.test")
			}
		})
	}
}

// TestUnrecordable tests that nothing is done for a request that cannot be recorded.
func TestUnrecordable(t *testing.T) {
	t.Parallel()
	gate := new(fakeGate)
	w := begin(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the request was passed on") }),
		withGate(gate, &records{refused: true}))
	res, _ := w.do("GET", "/park/a", nil, "Authorization", "Bearer proof")
	is(t, "status", res.StatusCode, http.StatusServiceUnavailable)
	is(t, "code", res.Header.Get(inbound.ErrorHeader), "audit_unavailable")
	is(t, "requests that the gate was asked about", len(gate.asked), 0)
}

// TestStubSaysWhenItsTokenExpires tests that expires_in is not longer than the access token lives,
// and never 0, which clients take for "not known".
func TestStubSaysWhenItsTokenExpires(t *testing.T) {
	virtual(t, func(t *testing.T) {
		gate := new(fakeGate)
		w := beginVirtual(t, http.NotFoundHandler(), withGate(gate, new(records)), func(w *fixture) {
			w.upstream.Stub.Body = []byte(`{"expires_in":3600,"access_token":"ticketproxy-placeholder","refresh_token_expires_in":9000}`)
		})
		for lifetime, want := range map[time.Duration]string{
			96 * time.Hour:          "3600",
			time.Hour:               "3600",
			90*time.Second + 999999: "90",
			time.Millisecond:        "1",
			-time.Second:            "1",
		} {
			gate.until = time.Now().Add(lifetime)
			c := w.dial()
			c.send("POST /park/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 19\r\n\r\nclient_secret=proof")
			is(t, lifetime.String(), read(t, c.receive("POST")), `{"expires_in":`+want+`,"access_token":"tpp_bound","refresh_token_expires_in":9000}`)
		}
	})
}
