package tokenendpoint_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/audit"
	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/tokenendpoint"
)

func TestAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.park.lifetime = 90*time.Second + 900*time.Millisecond
		if a := f.serve(t, get("/token/park?min=60s")); a.members["expires_in"] != 90.0 ||
			a.members["expires_at"] != 946684890.0 || len(a.members) != 4 {
			t.Error(a.text)
		}
		if a := f.serve(t, post("/token/park", "")); a.members["expires_in"] != 90.0 || a.members["expires_at"] != 946684890.0 {
			t.Error(a.text)
		}
		f.park.lifetime = 100 * time.Millisecond // 0 would mean that it does not expire
		if a := f.serve(t, get("/token/park")); a.members["expires_in"] != 1.0 {
			t.Error(a.text)
		}
		if a := f.serve(t, get("/token/shop")); len(a.members) != 2 {
			t.Errorf("the expiry is not known: %s", a.text)
		}
	})
}

func TestMin(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		request *http.Request
		least   time.Duration
	}{
		{get("/token/park"), time.Second},
		{get("/token/park?min="), time.Second},
		{get("/token/park?min=0s"), time.Second},
		{get("/token/park?min=1h30m"), 90 * time.Minute},
		{get("/token/park?other=1&min=60s&other=2"), time.Minute},
		{post("/token/park", ""), time.Second},
		{post("/token/park", "&min=60s"), time.Minute},
		{post("/token/park?min=60s", ""), time.Minute},
	} {
		f := newFixture()
		f.serve(t, test.request)
		if len(f.park.least) != 1 || f.park.least[0] != test.least || len(f.park.refused) != 0 {
			t.Errorf("%s: asked for %v, want %v", test.request.URL, f.park.least, test.least)
		}
	}
	for _, r := range []*http.Request{
		get("/token/park?min=60"), get("/token/park?min=-1s"), get("/token/park?min=soon"), get("/token/park?min=1s&min=2s"),
		get("/token/park?min=1s&min=1s"), get("/token/park?min=99999999h"), post("/token/park?min=1s", "&min=1s"), get("/token/park?min=%zz"),
		get("/token/park?min=1s;2s"),
	} {
		newFixture().refuse(t, r, http.StatusBadRequest, "bad_request")
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	f := newFixture()
	f.serve(t, post("/token/park", "&refused=ey%2Ba.b&min=60s"))
	if len(f.park.refused) != 1 || f.park.refused[0] != "ey+a.b" || f.park.least[0] != time.Minute {
		t.Errorf("refused %q, least %v", f.park.refused, f.park.least)
	}
	f.refuse(t, get("/token/park?refused=x"), http.StatusBadRequest, "bad_request")
	f.refuse(t, post("/token/park?refused=x", ""), http.StatusBadRequest, "bad_request")
	if len(f.park.refused) != 1 {
		t.Errorf("refused %q", f.park.refused)
	}
}

func TestPathsAndMethods(t *testing.T) {
	t.Parallel()
	f := newFixture()
	for _, path := range []string{
		"/", "/token", "/token/", "/token/park/", "/token//park", "/token/Park", "/token/park%2f", "/token/p%61rk", "/token/../token/park",
		"/token/no", "/Token/park", "//token/park", "/token/park;a", "/token/park,shop", "/token/*", "/oauth/token", "/token/%00",
	} {
		a := f.refuse(t, get(path), http.StatusNotFound, "no_such_upstream")
		if !strings.Contains(a.text, "park, shop") {
			t.Errorf("%s: the answer does not name the accounts: %s", path, a.text)
		}
	}
	for _, method := range []string{"HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "get", "QUERY"} {
		a := f.refuse(t, request(method, "/token/park", "", "Ticketproxy-Request: true"), http.StatusMethodNotAllowed, "method_not_allowed")
		if a.Header.Get("Allow") != "GET, POST" {
			t.Errorf("%s: Allow %q", method, a.Header.Get("Allow"))
		}
	}
	for _, method := range []string{"TRACE", "CONNECT"} {
		f.refuse(t, request(method, "/token/park", ""), http.StatusMethodNotAllowed, "method_not_allowed")
	}
	if len(f.park.least) != 0 {
		t.Error("a token was asked for")
	}
}

func TestErrorsOfTheAccount(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err         error
		code, oauth string
		after       string
	}{
		{&proxy.TokenError{Detail: `refreshing park: "no" answer`, RetryAfter: 2500 * time.Millisecond}, "token_unavailable", "temporarily_unavailable", "3"},
		{&proxy.TokenError{Detail: "x"}, "token_unavailable", "temporarily_unavailable", "1"},
		{&proxy.TokenError{LoginRequired: true, Detail: "run ticketproxy login park"}, "login_required", "login_required", ""},
		{context.Canceled, "token_unavailable", "temporarily_unavailable", "1"},
		{errors.New("internal /path"), "token_unavailable", "temporarily_unavailable", "1"},
	} {
		f := newFixture()
		f.park.err = test.err
		for _, r := range []*http.Request{get("/token/park"), post("/token/park", "")} {
			a := f.refuse(t, r, http.StatusServiceUnavailable, test.code)
			if a.Header.Get("Retry-After") != test.after || a.members["upstream"] != "park" || strings.Contains(a.text, "/path") {
				t.Errorf("%v: %v %s", test.err, a.Header, a.text)
			}
			if r.Method == http.MethodPost && (a.members["error"] != test.oauth || strings.ContainsAny(a.members["error_description"].(string), `"\`)) {
				t.Errorf("%v: %s", test.err, a.text)
			}
		}
	}
}

// Without callers, only this machine may have tokens, whatever the listener is.
func TestOnlyThisMachine(t *testing.T) {
	t.Parallel()
	f := newFixture(func(c *tokenendpoint.Config) { c.Guard.Hosts = []string{"10.0.0.7"} })
	for address, served := range map[net.Addr]bool{
		&net.TCPAddr{IP: net.IPv6loopback}:             true,
		&net.UnixAddr{Name: "/run/x", Net: "unix"}:     true,
		&net.TCPAddr{IP: net.IPv4(10, 0, 0, 7)}:        false,
		&net.TCPAddr{IP: net.IPv4zero}:                 false,
		&net.TCPAddr{IP: net.ParseIP("::ffff:7f00:1")}: true,
	} {
		r := get("/token/park")
		r.Host = "10.0.0.7"
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, address))
		if served {
			f.serve(t, r)
		} else {
			f.refuse(t, r, http.StatusForbidden, "forbidden")
		}
	}
}

func TestCallers(t *testing.T) {
	t.Parallel()
	f := newFixture(withCallers)
	good, wrong, other := basic("shop", "tpk_shop"), basic("shop", "tpk_erp"), basic("erp", "tpk_erp")
	for _, r := range []*http.Request{
		get("/token/park", good), post("/token/park", "", good), post("/token/park", "&client_id=shop", good),
		post("/token/park", "&client_id=shop&client_secret=tpk_shop"), post("/token/park", "&client_id=shop&client_secret=tpk_shop&refused=x"),
	} {
		f.serve(t, r)
	}
	for _, r := range []*http.Request{
		get("/token/park"), post("/token/park", ""), get("/token/park", wrong), post("/token/park", "", wrong), get("/token/no"),
		post("/token/park", "&client_id=shop&client_secret=tpk_erp"), post("/token/park", "&client_id=shop"),
		post("/token/park", "&client_secret=tpk_shop"), post("/token/park", "&client_id=erp", good), post("/token/no", "", wrong),
	} {
		a := f.refuse(t, r, http.StatusUnauthorized, "unauthenticated")
		if challenges := a.Header["Www-Authenticate"]; len(challenges) != 2 || !strings.HasPrefix(challenges[0], "Basic ") {
			t.Errorf("challenges %q", challenges)
		}
		if r.Method == http.MethodPost && a.members["error"] != "invalid_client" {
			t.Error(a.text)
		}
	}
	for _, r := range []*http.Request{
		post("/token/park", "&client_id=shop&client_secret=tpk_shop", good), post("/token/park", "&client_id=shop&client_secret=x", good),
		post("/token/park", "&client_id=shop&client_secret=tpk_shop", strings.Replace(good, "Auth", "Proxy-Auth", 1)),
		post("/token/park?client_secret=tpk_shop", "&client_id=shop"), get("/token/park?client_secret=tpk_shop&client_id=shop"),
	} {
		f.refuse(t, r, http.StatusBadRequest, "bad_request")
	}
	// An account that does not exist looks like one that the caller may not have.
	var texts []string
	for _, account := range []string{"park", "shop", "no"} {
		a := f.refuse(t, post("/token/"+account, "", other), http.StatusForbidden, "forbidden")
		if a.members["error"] != "unauthorized_client" {
			t.Error(a.text)
		}
		texts = append(texts, a.text)
	}
	if texts[0] != texts[1] || texts[1] != texts[2] {
		t.Errorf("the answers differ: %q", texts)
	}
	if a := f.do(t, get("/token", good)); strings.Contains(a.text, "park") {
		t.Errorf("the accounts are named to a caller: %s", a.text)
	}
}

// Without callers, credentials are what a library must send, and mean nothing.
func TestCredentialsWithoutCallers(t *testing.T) {
	t.Parallel()
	f := newFixture()
	for _, r := range []*http.Request{
		post("/token/park", "", basic("any", "thing")), post("/token/park", "&client_id=any&client_secret=thing"),
		post("/token/park", "&client_id=any&client_secret=thing", basic("any", "thing")), get("/token/park", "Authorization: Bearer x"),
	} {
		f.serve(t, r)
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	log, err := audit.Open(audit.Config{Path: path, Required: true})
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(withCallers, func(c *tokenendpoint.Config) { c.Audit = log })
	const trace = "0af7651916cd43dd8448eb211c80319c"
	served := f.serve(t, post("/token/park", "&client_id=shop&client_secret=tpk_shop&refused=old", "Traceparent: 00-"+trace+"-b7ad6b7169203331-01"))
	f.refuse(t, get("/token/park?min=1s", basic("erp", "tpk_erp")), http.StatusForbidden, "forbidden")
	f.refuse(t, get("/token/park", "Origin: https://example.com"), http.StatusForbidden, "cross_site")
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{canary, "tpk_", "old", "min=", "refused"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%q is in the audit log: %s", secret, text)
		}
	}
	want := []map[string]any{{
		"event.action": "token", "event.outcome": "success", "user.name": "shop", "ticketproxy.proof": "key", "ticketproxy.account": "park",
		"ticketproxy.generation": 7.0, "client.address": "127.0.0.1", "http.request.method": "POST", "url.path": "/token/park",
		"http.response.status_code": 200.0, "http.response.body.bytes": float64(len(served.text)), "trace.id": trace,
		"http.request.body.bytes": float64(len("grant_type=client_credentials&client_id=shop&client_secret=tpk_shop&refused=old")),
	}, {
		"event.action": "token", "event.outcome": "failure", "user.name": "erp", "error.code": "forbidden", "url.path": "/token/park",
		"event.reason": "it may not have tokens of this account", "ticketproxy.account": nil, "ticketproxy.generation": nil,
	}, {
		"event.outcome": "failure", "user.name": nil, "error.code": "cross_site", "http.response.status_code": 403.0,
	}}
	lines := strings.SplitAfter(strings.TrimSpace(string(text)), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines:\n%s", len(lines), text)
	}
	for i, members := range want {
		var got map[string]any
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatal(err)
		}
		for name, value := range members {
			if got[name] != value {
				t.Errorf("line %d: %s is %v, want %v", i, name, got[name], value)
			}
		}
	}
}

type brokenOutput struct{}

func (brokenOutput) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// What cannot be recorded is not handed out.
func TestRequiredAudit(t *testing.T) {
	t.Parallel()
	log, err := audit.Open(audit.Config{Output: brokenOutput{}, Required: true})
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(func(c *tokenendpoint.Config) { c.Audit = log })
	f.serve(t, get("/token/park")) // whose line is kept
	for range 3 {
		a := f.refuse(t, post("/token/park", ""), http.StatusServiceUnavailable, "audit_unavailable")
		if !strings.Contains(a.text, "TICKETPROXY_AUDIT_REQUIRED") || a.members["error"] != "temporarily_unavailable" {
			t.Error(a.text)
		}
	}
	if len(f.park.least) != 1 {
		t.Errorf("%d tokens were asked for", len(f.park.least))
	}
}

// The whole way over a connection of an inbound.Server.
func TestServer(t *testing.T) {
	t.Parallel()
	f := newFixture()
	socket, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := inbound.NewServer(f.handler, nil, nil)
	done := make(chan error, 1)
	go func() { done <- s.Serve(socket) }()
	transport := &http.Transport{}
	client := &http.Client{Transport: transport}
	for _, host := range []string{"", "evil.example.com"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+socket.Addr().String()+"/token/park",
			strings.NewReader("grant_type=client_credentials"))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if want := map[string]int{"": 200, "evil.example.com": 421}[host]; res.StatusCode != want {
			t.Errorf("Host %q: %s, want %d", host, res.Status, want)
		}
	}
	transport.CloseIdleConnections()
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
