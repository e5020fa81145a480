package command

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"ticketproxy/proxy/inbound/authn"
	"ticketproxy/sandbox"
)

const (
	rulesAnswer = "forbidden"        // to a request that no rule allows
	stubAnswer  = "stub"             // of the stub token endpoint
	toAPI       = ""                 // no answer of ours
	lost        = "no_such_upstream" // check says that the URL leads to no upstream
	basePath    = "bad_path"         // a dot segment could leave the base path
	wrongHost   = "host_not_allowed"
	noProof     = "unauthenticated"
	noMethod    = "method_not_allowed"
	unreadable  = "bad_request"          // for HTTP
	aKey        = "tpk_KEY"              // stands for the caller's key
	otherKey    = "tpk_" + "AAAAAAAAAAA" // a wrong one
)

// A sending is a request as check is asked about it, and as an app sends it.
type sending struct {
	method, url  string // the arguments
	port, target string // that the app connects to and asks for
	host         string // that it sends; localhost and the port if ""
	user         string // that it sends as Basic; the key alone if ""
	want         string
}

// sendings returns what is asked for. socialboards has neither prefix nor base path, openticket a
// prefix, and ticketpark a base path, and a Host.
func sendings() []sending {
	return []sending{
		{"GET", "http://localhost:8080/events/1", "8080", "/events/1", "", "", toAPI},
		{"GET", "http://127.0.0.1:8080/Events/1", "8080", "/Events/1", "127.0.0.1:8080", "", rulesAnswer},
		{"GET", "HTTP://LOCALHOST:8080/events", "8080", "/events", "LOCALHOST:8080", "", toAPI},
		{"get", "http://localhost:8080/events/1", "8080", "/events/1", "", "", rulesAnswer},
		{"HEAD", "http://localhost:8080/events/1", "8080", "/events/1", "", "", toAPI},
		{"POST", "http://localhost:8080/events/1", "8080", "/events/1", "", "", rulesAnswer},
		{"OPTIONS", "http://localhost:8080/events/1", "8080", "/events/1", "", "", rulesAnswer},
		{"TRACE", "http://localhost:8080/events/1", "8080", "/events/1", "", "", noMethod},
		{"CONNECT", "http://localhost:8080/events/1", "8080", "/events/1", "", "", noMethod},
		{"GET", "http://localhost:8080", "8080", "/", "", "", rulesAnswer},
		{"GET", "http://localhost:8080?a=b", "8080", "/?a=b", "", "", rulesAnswer},
		{"GET", "http://localhost:8080/events/1?a=/../b&u=http://x@y#/x", "8080", "/events/1?a=/../b&u=http://x@y", "", "", toAPI},
		{"GET", "http://localhost:8080/events/..", "8080", "/events/..", "", "", rulesAnswer},
		{"GET", "http://localhost:8080/events/./1", "8080", "/events/./1", "", "", rulesAnswer},
		{"GET", "http://localhost:8080/events/%2e%2E/orders", "8080", "/events/%2e%2E/orders", "", "", rulesAnswer},
		{"GET", "http://localhost:8080/events/a;b", "8080", "/events/a;b", "", "", rulesAnswer},
		{"GET", "http://localhost:8080/events//1", "8080", "/events//1", "", "", rulesAnswer},
		{"GET", "http://localhost:8080//events/1", "8080", "//events/1", "", "", rulesAnswer},
		{"GET", "http://localhost:8080/events%2F1", "8080", "/events%2F1", "", "", rulesAnswer},
		{"GET", "http://localhost:8080/events/1%2F2", "8080", "/events/1%2F2", "", "", toAPI},
		{"GET", "http://localhost:8080/events/%zz", "8080", "/events/%zz", "", "", unreadable},
		{"GET", "http://localhost:8080/events/%252e%252e/x", "8080", "/events/%252e%252e/x", "", "", rulesAnswer},
		{"GET", "http://api.test:8080/events/1", "8080", "/events/1", "api.test:8080", "", wrongHost},
		{"GET", "http://127.0.0.1:9101/events/1", "8080", "/events/1", "", "", toAPI},
		{"GET", "http://127.0.0.1:9101/events/../x", "8080", "/events/../x", "", "", rulesAnswer},

		{"GET", "http://localhost:8081/ot/a", "8081", "/ot/a", "", "", toAPI},
		{"GET", "http://localhost:8081/ot", "8081", "/ot", "", "", toAPI},
		{"GET", "http://localhost:8081/other/a", "8081", "/other/a", "", "", lost},
		{"GET", "http://localhost:8081/ot/../a", "8081", "/ot/../a", "", "", basePath},
		{"GET", "http://localhost:8081/../ot/a", "8081", "/../ot/a", "", "", lost},
		{"GET", "http://localhost:8081/ot/a/%2e%2e/b", "8081", "/ot/a/%2e%2e/b", "", "", basePath},
		{"GET", "http://localhost:8081/ot/a/%252e%252e/b", "8081", "/ot/a/%252e%252e/b", "", "", basePath},
		{"GET", "http://localhost:8081/ot/a/..%2fb", "8081", "/ot/a/..%2fb", "", "", basePath},
		{"GET", "http://localhost:8081/ot/a/..;/b", "8081", "/ot/a/..;/b", "", "", basePath},
		{"GET", "http://localhost:8081/ot/a;x/b", "8081", "/ot/a;x/b", "", "", toAPI},
		{"GET", "http://localhost:8081/ot//b", "8081", "/ot//b", "", "", toAPI},
		{"GET", "http://localhost:8081/ot%2Fb", "8081", "/ot%2Fb", "", "", lost},
		{"GET", "http://localhost:8081/OT/a", "8081", "/OT/a", "", "", lost},
		{"DELETE", "http://127.0.0.1:9100/a", "8081", "/ot/a", "", "", toAPI},
		{"DELETE", "http://127.0.0.1:9100/a/../b", "8081", "/ot/a/../b", "", "", basePath},
		{"POST", "http://localhost:8081/ot/tokens", "8081", "/ot/tokens", "", "", stubAnswer},
		{"POST", "http://127.0.0.1:9100/tokens", "8081", "/ot/tokens", "", "", stubAnswer},
		{"GET", "http://localhost:8081/ot/tokens?grant_type=refresh_token", "8081", "/ot/tokens?grant_type=refresh_token", "", "", stubAnswer},
		{"GET", "http://localhost:8081/ot/tokens?x=y", "8081", "/ot/tokens?x=y", "", "", toAPI},
		{"POST", "http://localhost:8081/ot/x/../tokens", "8081", "/ot/x/../tokens", "", "", stubAnswer},
		{"POST", "http://localhost:8081/ot/TOKENS;x", "8081", "/ot/TOKENS;x", "", "", stubAnswer},
		{"POST", "--upstream openticket /tokens", "8081", "/ot/tokens", "", "", stubAnswer},

		{"GET", "http://park.localhost:8082/orders", "8082", "/orders", "park.localhost:8082", "", toAPI},
		{"GET", "http://localhost:8082/orders", "8082", "/orders", "", "", lost},
		{"GET", "http://park.localhost:8082/%2e%2e/orders", "8082", "/%2e%2e/orders", "park.localhost:8082", "", basePath},
		{"GET", "http://127.0.0.1:9102/api/orders", "8082", "/orders", "park.localhost", "", toAPI},
		{"GET", "--upstream ticketpark /api/orders", "8082", "/orders", "park.localhost", "", toAPI},
		{"GET", "--upstream ticketpark /api/x/../orders", "8082", "/x/../orders", "park.localhost", "", basePath},
		{"GET", "--upstream ticketpark /api//orders", "8082", "//orders", "park.localhost", "", rulesAnswer},
		{"GET", "--upstream socialboards //events/1", "8080", "//events/1", "", "", rulesAnswer},
		{"GET", "--upstream socialboards /events/1?x=http://y@z", "8080", "/events/1?x=http://y@z", "", "", toAPI},

		{"GET", "http://shop:" + aKey + "@localhost:8080/events/1", "8080", "/events/1", "", "shop:" + aKey, toAPI},
		{"GET", "http://shop:" + aKey + "@localhost:8080/x", "8080", "/x", "", "shop:" + aKey, rulesAnswer},
		{"GET", "http://sh%6fp:" + aKey + "@127.0.0.1:9101/events/1", "8080", "/events/1", "", "shop:" + aKey, toAPI},
		{"GET", "http://erp:" + aKey + "@localhost:8080/events/1", "8080", "/events/1", "", "erp:" + aKey, noProof},
		{"GET", "http://" + aKey + "@localhost:8080/events/1", "8080", "/events/1", "", aKey + ":", noProof},
		{"GET", "http://shop@localhost:8080/events/1", "8080", "/events/1", "", "shop:", noProof},
		{"GET", "http://shop:" + otherKey + "@localhost:8081/other", "8081", "/other", "", "shop:" + otherKey, noProof},
		{"POST", "http://shop:" + aKey + "@localhost:8081/ot/tokens", "8081", "/ot/tokens", "", "shop:" + aKey, stubAnswer},
		{"POST", "http://shop:" + otherKey + "@localhost:8081/ot/tokens", "8081", "/ot/tokens", "", "shop:" + otherKey, noProof},
	}
}

// TestCheckCallerSaysWhatServeDoes tests that check --caller says of a request what serve answers
// to it, and never shows the user of a URL.
func TestCheckCallerSaysWhatServeDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{})
		key, digest := authn.NewKey()
		file := filepath.Join(f.dir, "callers.yaml")
		text := fmt.Sprintf(`
callers:
  shop:
    keys: ["sha256:%s"]
    may:
    - {upstream: socialboards, methods: [GET], paths: [/events/**]}
    - {upstream: openticket}
    - {upstream: ticketpark, paths: [/api/orders]}
`, hex.EncodeToString(digest[:]))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f.environ = append(f.environ, "TICKETPROXY_CALLERS_FILE="+file, "TICKETPROXY_OPENTICKET_PREFIX=/ot",
			"TICKETPROXY_TICKETPARK_UPSTREAM_URL=http://127.0.0.1:9102/api", "TICKETPROXY_TICKETPARK_HOST=park.localhost",
			"TICKETPROXY_OPENTICKET_UPSTREAM_URL=http://127.0.0.1:9100", "TICKETPROXY_SOCIALBOARDS_UPSTREAM_URL=http://127.0.0.1:9101")
		f.serve()
		for _, s := range sendings() {
			served := f.served(s, key.Reveal())
			code, out := f.asked(s, key.Reveal())
			if checked := answerIn(code, out); checked != served || served != s.want {
				t.Errorf("%s %s: serve answers %q, and check says %q: exit %d, %s\nwant %q", s.method, s.url, served, checked, code, out, s.want)
			}
			if strings.Contains(out, "tpk_") || strings.Contains(out, "@") {
				t.Errorf("%s %s shows the user: %s", s.method, s.url, out)
			}
		}
	})
}

// served sends a request, and returns what serve answers by itself.
func (f *fixture) served(s sending, key string) string {
	f.t.Helper()
	conn, err := f.network.dial(f.t.Context(), "tcp", "127.0.0.1:"+s.port)
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	host, proof := s.host, "Bearer "+key
	if host == "" {
		host = "localhost:" + s.port
	}
	if s.user != "" {
		proof = "Basic " + base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(s.user, aKey, key)))
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nConnection: close\r\n\r\n", s.method, s.target, host, proof)
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: s.method})
	if err != nil {
		f.t.Fatalf("%s %s: %v", s.method, s.url, err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if strings.Contains(string(body), "tpp_") {
		return stubAnswer
	}
	return res.Header.Get("Ticketproxy-Error")
}

// asked runs check, and returns its exit code and what it prints.
func (f *fixture) asked(s sending, key string) (int, string) {
	var out bytes.Buffer
	env := f.env()
	env.Stdout, env.Stderr = &out, &out
	rest := strings.Fields(strings.ReplaceAll(s.url, aKey, key))
	args := append([]string{"check", "--caller", "shop"}, rest[:len(rest)-1]...)
	code := ExitCode(env.Stderr, Run(f.t.Context(), env, append(args, s.method, rest[len(rest)-1])))
	return code, out.String()
}

// answerIn returns the answer that check has told of.
func answerIn(code int, out string) string {
	said, denied := strings.CutPrefix(out, "FAIL  denied: ")
	answer, _, _ := strings.Cut(said, ":")
	switch {
	case code == 2 && strings.HasPrefix(out, "ticketproxy: this URL leads to no upstream\n"):
		return lost
	case code == 0 && strings.HasPrefix(out, "ok    allowed: the stub token endpoint"):
		return stubAnswer
	case code == 0 && strings.HasPrefix(out, "ok    allowed: rule"):
		return toAPI
	case code == 1 && denied && strings.HasPrefix(said, "caller shop may not "):
		return rulesAnswer
	case code == 1 && denied:
		return answer
	}
	return "nothing that this test knows"
}

// TestCheckCallerListeners tests which listener a URL leads to.
func TestCheckCallerListeners(t *testing.T) {
	t.Parallel()
	own := strings.Replace(callersOfTest, "limits:", "  till: {listen: 127.0.0.1:8083, may: [{upstream: park, paths: [/events/**]}]}\nlimits:", 1)
	for arguments, want := range map[string]string{
		"--caller shop GET https://gateway.test:8443/events":        "0 ok    allowed: rule 1 of caller shop",
		"--caller shop GET https://192.0.2.7:8443/events":           "0 ok    allowed: rule 1 of caller shop",
		"--caller shop GET https://localhost:8443/events":           "0 ok    allowed: rule 1 of caller shop",
		"--caller shop GET https://[2001:db8::7]:8443/events":       "0 ok    allowed: rule 1 of caller shop",
		"--caller shop GET https://other.test:8443/events":          "1 FAIL  denied: host_not_allowed: ",
		"--caller shop GET https://127.0.0.2:8443/events":           "1 FAIL  denied: host_not_allowed: ",
		"--caller shop GET http://gateway.test:8443/events":         "2 ticketproxy: this URL leads to no upstream",
		"--caller shop GET https://gateway.test/events":             "2 ticketproxy: this URL leads to no upstream",
		"--caller till GET http://127.0.0.1:8083/events/x":          "0 ok    allowed: rule 1 of caller till",
		"--caller till GET http://x:y@localhost:8083/events/x":      "0 ok    allowed: rule 1 of caller till",
		"--caller till GET http://127.0.0.1:8083/x":                 "1 FAIL  denied: caller till may not GET /x",
		"--caller till GET http://127.0.0.1:8083/erp/x":             "1 FAIL  denied: caller till may not GET /erp/x at upstream park",
		"--caller shop GET http://127.0.0.1:8083/events/x":          "2 ticketproxy: this URL is of the listener of caller till",
		"--caller shop --upstream erp GET https://localhost:8443/x": "2 ticketproxy: this URL leads to upstream park",
	} {
		code, out := askCheck(t, own, arguments, "TICKETPROXY_PARK_LISTEN=0.0.0.0:8443", "TICKETPROXY_TLS_CERT_FILE=/tls.crt",
			"TICKETPROXY_TLS_KEY_FILE=/tls.key", "TICKETPROXY_ALLOWED_HOSTS=gateway.test")
		wanted, text, _ := strings.Cut(want, " ")
		if fmt.Sprint(code) != wanted || !strings.HasPrefix(out, text) {
			t.Errorf("%s: exit %d:\n%s\nwant %s", arguments, code, out, want)
		}
	}
	code, out := askCheck(t, callersOfTest, "--caller shop GET https://api.park.test/crm/x", "TICKETPROXY_CRM_HOST=", "TICKETPROXY_CRM_PREFIX=/crm",
		"TICKETPROXY_CRM_LISTEN=127.0.0.1:8081")
	if code != 2 || !strings.HasPrefix(out, "ticketproxy: apps cannot reach this path of upstream park: at its listener it leads to upstream crm\n") {
		t.Errorf("a path that another upstream has: exit %d: %s", code, out)
	}
}

// TestCheckCallerQuotesNoURL tests that no mistake in the arguments shows what may be a key.
func TestCheckCallerQuotesNoURL(t *testing.T) {
	t.Parallel()
	for _, arguments := range []string{
		"http://shop:tpk_secret@api.park.test/",
		"GET http://shop:tpk_secret@api.park.test/",
		"--caller shop http://shop:tpk_secret@api.park.test/",
		"--caller shop http://shop:tpk_secret@api.park.test/ GET",
		"--caller shop GET shop:tpk_secret@api.park.test/",
		"--caller shop GET //shop:tpk_secret@api.park.test/",
		"--caller shop --upstream park GET //shop:tpk_secret@api.park.test/",
		"--caller shop GET http://shop:tpk_secret@other.test/",
		"--caller shop GET http://shop:tpk_secret%zz@api.park.test/",
		"--caller shop GET http://shop:tpk_secret.a.b@api.park.test/",
		"--caller shop GET http://tpk_secret:x@erp.test:8443/v2",
		"--caller shop GET http://shop:tpk_secret\x7f@erp.test:8443/v2",
	} {
		if code, out := askCheck(t, callersOfTest, arguments); code != 2 || strings.Contains(out, "secret") {
			t.Errorf("%s: exit %d: %s", arguments, code, out)
		}
	}
}
