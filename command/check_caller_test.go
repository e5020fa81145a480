package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"ticketproxy/sandbox"
)

const callersOfTest = `
callers:
  shop:
    uid: 1
    may:
    - {upstream: park, methods: [GET], paths: [/events/**]}
    - {upstream: erp, methods: [GET], paths: [/v2/orders]}
    - {upstream: erp, warn: true}
    rate: {per: second, requests: 20, burst: 40}
limits:
  park: {per: minute, requests: 600, burst: 50, concurrent: 20, heed: true}
`

// askCheck runs check with arguments, in front of two APIs, and returns its exit code and what it
// printed.
func askCheck(t *testing.T, callers, arguments string, more ...string) (int, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "callers.yaml")
	if err := os.WriteFile(file, []byte(callers), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	env := &Env{Stdout: &out, Stderr: &out, Environ: append([]string{
		"TICKETPROXY_UPSTREAMS=park,erp,crm", "TICKETPROXY_STATE=memory:", "TICKETPROXY_CALLERS_FILE=" + file,
		"TICKETPROXY_PARK_PROVIDER=generic", "TICKETPROXY_PARK_UPSTREAM_URL=https://api.park.test", "TICKETPROXY_PARK_LISTEN=127.0.0.1:8081",
		"TICKETPROXY_PARK_TOKEN_URL=https://api.park.test/token", "TICKETPROXY_PARK_CLIENT_ID=a", "TICKETPROXY_PARK_CLIENT_AUTH=none", "TICKETPROXY_PARK_ROTATION=none",
		"TICKETPROXY_ERP_ACCOUNT=park", "TICKETPROXY_ERP_UPSTREAM_URL=https://erp.test:8443/v2", "TICKETPROXY_ERP_PREFIX=/erp", "TICKETPROXY_ERP_LISTEN=127.0.0.1:8082",
		"TICKETPROXY_CRM_ACCOUNT=park", "TICKETPROXY_CRM_UPSTREAM_URL=https://erp.test:8443/v2/crm", "TICKETPROXY_CRM_LISTEN=127.0.0.1:8082",
		"TICKETPROXY_CRM_HOST=crm.localhost", "TICKETPROXY_PARK_TOKEN_ENCODING=form",
	}, more...)}
	code := ExitCode(env.Stderr, Run(t.Context(), env, append([]string{"check"}, strings.Fields(arguments)...)))
	return code, out.String()
}

func TestCheckCaller(t *testing.T) {
	t.Parallel()
	for arguments, want := range map[string]string{
		"--caller shop GET https://api.park.test/events/1?page=2": "0 ok    allowed: rule 1 of caller shop allows it (line 6)",
		"--caller shop GET https://api.park.test:443/events":      "0 ok    allowed: rule 1",
		"--caller shop HEAD http://localhost:8081/events/1":       "0 ok    allowed: rule 1",
		"--caller shop --upstream park GET /events/":              "0 ok    allowed: rule 1",
		"--caller shop GET http://127.0.0.1:8082/erp/orders":      "0 ok    allowed: rule 2",
		"--caller shop GET https://erp.test:8443/v2/orders":       "0 ok    allowed: rule 2",
		"--caller shop --upstream erp GET /v2/orders":             "0 ok    allowed: rule 2",
		"--caller shop POST https://erp.test:8443/v2/orders":      "0 warn  allowed: only rule 3 of caller shop allows it",

		"--caller shop GET https://erp.test:8443/v2/crm/x":       "1 FAIL  denied: caller shop may not GET /v2/crm/x at upstream crm: its rules are for other upstreams",
		"--caller shop GET http://crm.localhost:8082/erp/orders": "1 FAIL  denied: caller shop may not GET /v2/crm/erp/orders at upstream crm",
		"--caller shop POST https://api.park.test/events":        "1 FAIL  denied: caller shop may not POST /events at upstream park: rule 1 is for GET",
		"--caller shop GET https://api.park.test":                "1 FAIL  denied: caller shop may not GET / at upstream park: rule 1 is for /events/**",
		"--caller shop GET https://api.park.test/events/%2e%2e/": "1 FAIL  denied: caller shop may not GET /events/%2e%2e/ at upstream park: rule 1 has paths, and this path has a dot segment",

		"--caller shop":                                         "2 ticketproxy: check --caller needs a method and a URL",
		"--caller shop GET":                                     "2 ticketproxy: check --caller needs a method and a URL",
		"--caller shop GET /x --upstream park":                  "2 ticketproxy: a flag stands after the method",
		"--caller shop GET /x y":                                "2 ticketproxy: check --caller needs a method and a URL",
		"--caller shopp GET https://api.park.test/":             "2 ticketproxy: \"shopp\" is not a caller of TICKETPROXY_CALLERS_FILE\nhint: did you mean shop?",
		"--caller shop GET /events":                             "2 ticketproxy: a path alone does not tell which upstream is meant",
		"--caller shop --upstream erp GET /orders":              "2 ticketproxy: the API of upstream erp sees no such path",
		"--caller shop --upstream pork GET /orders":             "2 ticketproxy: \"pork\" is not an upstream\nhint: did you mean park?",
		"--caller shop GET https://api.other.test/":             "2 ticketproxy: this URL leads to no upstream",
		"--caller shop GET http://api.park.test/":               "2 ticketproxy: this URL leads to no upstream",
		"--caller shop --upstream park GET https://erp.test/":   "2 ticketproxy: this URL leads to no upstream",
		"--caller shop GET events":                              "2 ticketproxy: this is neither a URL nor a path",
		"--upstream park":                                       "2 ticketproxy: check --upstream goes with --caller only",
		"GET https://api.park.test/":                            "2 ticketproxy: check takes no arguments",
		"--callers shop":                                        "2 ticketproxy: flag provided but not defined: -callers",
		"--caller shop --upstream erp GET http://[::1]:8082/er": "2 ticketproxy: this URL leads to no upstream",
	} {
		code, out := askCheck(t, callersOfTest, arguments)
		wanted, text, _ := strings.Cut(want, " ")
		if string(rune('0'+code)) != wanted || !strings.Contains("\n"+out, "\n"+text) {
			t.Errorf("%s: exit %d:\n%s\nwant %s", arguments, code, out, want)
		}
	}
}

func TestCheckCallerTellsLimits(t *testing.T) {
	t.Parallel()
	const want = `ok    allowed: rule 1 of caller shop allows it (line 6)
note  limits: caller shop may send each replica 20 requests per second, and 40 at once
note  limits: all callers together may have each replica send account park 600 requests per minute, and 50 at once
note  limits: account park may have 20 requests in flight at each replica
note  limits: requests to account park wait as long as its API asks by Retry-After
`
	if _, out := askCheck(t, callersOfTest, "--caller shop GET https://api.park.test/events"); out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func TestCheckCallerSharedAPI(t *testing.T) {
	t.Parallel()
	code, out := askCheck(t, callersOfTest, "--caller shop GET https://api.park.test/events", "TICKETPROXY_CRM_UPSTREAM_URL=https://api.park.test")
	if code != 2 || !strings.Contains(out, "more than one upstream\nhint: write --upstream and one of: park, crm") {
		t.Errorf("exit %d: %s", code, out)
	}
	for method, want := range map[string]string{"TRACE": "never passed on", "CONNECT": "never passed on", "GET/": "this is not a method"} {
		if code, out = askCheck(t, callersOfTest, "--caller shop "+method+" https://api.park.test/events"); code == 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d: %s", method, code, out)
		}
	}
	code, out = askCheck(t, callersOfTest, "--caller shop GET https://api.park.test/events", "TICKETPROXY_CALLERS_FILE=")
	if code != 2 || !strings.Contains(out, "TICKETPROXY_CALLERS_FILE: is empty, and would let everybody call") {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestCheckReadsCallers(t *testing.T) {
	t.Parallel()
	for _, arguments := range []string{"", "--caller shop GET /"} {
		code, out := askCheck(t, "callers:\n  shop: {key: x}\n", arguments)
		if code != 2 || !strings.Contains(out, "TICKETPROXY_CALLERS_FILE: line 2, callers.shop: \"key\" is not known here\nhint: did you mean keys?\n") {
			t.Errorf("exit %d: %s", code, out)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{})
		file := filepath.Join(f.dir, "callers.yaml")
		callers := "callers:\n  shop: {uid: 1, may: [{upstream: ticketpark, paths: [/events/**, /v2/x]}, {upstream: openticket, paths: [/x]}]}\n"
		if err := os.WriteFile(file, []byte(callers), 0o600); err != nil {
			t.Fatal(err)
		}
		base := ""
		for _, pair := range f.environ {
			if value, ok := strings.CutPrefix(pair, "TICKETPROXY_TICKETPARK_UPSTREAM_URL="); ok {
				base = value
			}
		}
		code, out := runCheck(t, f, "TICKETPROXY_CALLERS_FILE="+file, "TICKETPROXY_TICKETPARK_UPSTREAM_URL="+base+"/v2")
		if code != 0 || !strings.Contains(out, "ok    callers: 1 caller, 0 issuers, limits of 0 accounts\n"+
			"warn  caller shop: its rule in line 2 has the path /events/**, but all paths that the API of ticketpark sees begin with /v2\n") ||
			strings.Contains(out, "path /v2/x") || strings.Contains(out, "path /x") {
			t.Errorf("exit %d: %s", code, out)
		}
	})
}
