package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// run runs a verb of the program with an input, and checks its exit code and what it prints.
func (p *proxy) run(stdin string, code int, verb string, want ...string) {
	p.t.Helper()
	cmd := exec.Command(p.binary, verb)
	cmd.Env = p.environ()
	cmd.Stdin = strings.NewReader(stdin)
	out, _ := cmd.CombinedOutput()
	for _, want := range want {
		if cmd.ProcessState.ExitCode() != code || !strings.Contains(string(out), want) {
			p.t.Errorf("%s: exit code %d, want %d and %q:\n%s", verb, cmd.ProcessState.ExitCode(), code, want, out)
		}
	}
	p.t.Logf("%s printed:\n%s", verb, out)
}

// testLoginWithoutRights logs in to a state that may be read and not written, and then, with
// the same refresh token, to the state after the right was given.
func testLoginWithoutRights(t *testing.T, allow func(), hint string, env ...string) {
	account := startSandbox(t, time.Hour)["socialboards"]
	seed := account.seed
	account.seed = ""
	p := newProxy(t, t.TempDir(), map[string]*provider{"socialboards": account}, env...)
	p.run(seed+"\n", 1, "login", "the state cannot be written to, so nothing was asked of the issuer: ", "hint: "+hint)
	if n := account.counters(); n.TokenRequests != 0 {
		t.Errorf("%+v, want no token request", n)
	}
	allow()
	p.run(seed+"\n", 0, "login", "logged in, generation 1")
}

// TestLoginWithoutRights tests that no grant is obtained that could not be stored, and that the
// attempt leaves no record.
func TestLoginWithoutRights(t *testing.T) {
	t.Run("kubernetes", func(t *testing.T) {
		c := startCluster(t)
		c.namespace("tickets")
		c.secret("state")
		kubeconfig := c.account("tickets", "person", "state", false, "get", "watch")
		testLoginWithoutRights(t, func() {
			if keys, _ := c.secretOf("tickets", "state"); len(keys) > 0 {
				t.Errorf("the state has %q", keys)
			}
			c.must(http.MethodPatch, "/apis/rbac.authorization.k8s.io/v1/namespaces/tickets/roles/person", map[string]any{
				"rules": []any{map[string]any{
					"apiGroups": []string{""}, "resources": []string{"secrets"}, "resourceNames": []string{"state"}, "verbs": stateVerbs,
				}},
			})
		}, "allow it: kubectl -n tickets create role state-refresher ",
			"TICKETPROXY_STATE=kubernetes:tickets/state", "KUBECONFIG="+kubeconfig)
	})
	t.Run("postgres", func(t *testing.T) {
		d := startDatabase(t)
		d.psql("CREATE TABLE ticketproxy_state (account text PRIMARY KEY, record json NOT NULL, updated_at timestamptz NOT NULL DEFAULT now())")
		url := d.login("person", "canary-0123456789", "SELECT ON ticketproxy_state")
		testLoginWithoutRights(t, func() {
			if rows := d.psql("TABLE ticketproxy_state"); rows != "" {
				t.Errorf("the state has %s", rows)
			}
			d.psql("GRANT INSERT, UPDATE ON ticketproxy_state TO person")
		}, "have an administrator of the database run: GRANT ", "TICKETPROXY_STATE="+url)
	})
}

// TestStateAloneInKubernetes serves with the rights for the state alone, beside keys of the
// Secret that are somebody else's.
func TestStateAloneInKubernetes(t *testing.T) {
	c := startCluster(t)
	c.namespace("tickets")
	c.must(http.MethodPost, "/api/v1/namespaces/tickets/secrets", map[string]any{
		"metadata":   map[string]any{"name": "state"},
		"stringData": map[string]string{"settings.json": `{"theme":"dark"}`, "Notes.json": "[]", "tls.crt": "x", "old.json": "{\n\t\"format\": 1,\n"},
	})
	p := newReplicas(t, c, 1, c.account("tickets", "refresher", "state", false, stateVerbs...), one(startSandbox(t, 4*time.Second), "openticket"))[0]
	p.start()
	p.awaitUsable("openticket", 30*time.Second)
	generation := p.status("openticket").Generation
	await(t, 30*time.Second, "two refreshes", func() bool { return p.status("openticket").Generation >= generation+2 })
	p.mustServe("openticket")
	if n := p.terminate(30 * time.Second); n != 0 {
		t.Errorf("exit code %d", n)
	}
	log := p.stderr.String()
	if strings.Count(log, "no access tokens are written for readers") != 1 ||
		!strings.Contains(log, "where there are readers, allow it: kubectl -n tickets create role state-refresher ") ||
		!strings.Contains(log, "--serviceaccount=tickets:refresher") || strings.Contains(log, `"level":"warn"`) {
		t.Errorf("the log is\n%s", log)
	}

	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte(firstIdentity+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.extraEnv = append(p.extraEnv, "TICKETPROXY_STATE_KEY_FILE="+keys)
	p.run("", 1, "rekey", "ok    account openticket: generation ", `note  state: "settings" is not a record of ticketproxy, and was left alone`,
		`note  state: "Notes" is not the name of an account, and was left alone`, "FAIL  account old: rewriting record: ")
	c.must(http.MethodPatch, "/api/v1/namespaces/tickets/secrets/state", map[string]any{"data": map[string]any{"old.json": nil}})
	p.run("", 0, "rekey", `note  state: "settings" is not a record of ticketproxy`)
	var s struct {
		Data map[string][]byte `json:"data"`
	}
	c.ask(http.MethodGet, "/api/v1/namespaces/tickets/secrets/state", nil, &s)
	for key, want := range map[string]string{"settings.json": `{"theme":"dark"}`, "Notes.json": "[]", "tls.crt": "x"} {
		if got := string(s.Data[key]); got != want {
			t.Errorf("%s is now %q, want %q", key, got, want)
		}
	}
}

// TestReadersWithoutCopies has somebody take away the refresher's right to write the Secret
// that readers use, and give it back.
func TestReadersWithoutCopies(t *testing.T) {
	c := startCluster(t)
	c.namespace("tickets")
	c.secret("state")
	c.secret("state-access")
	p := newReplicas(t, c, 1, c.refresherAccount(false), one(startSandbox(t, 4*time.Second), "openticket"))[0]
	rights := func(access ...string) {
		t.Helper()
		rule := func(secret string, verbs []string) any {
			return map[string]any{
				"apiGroups": []string{""}, "resources": []string{"secrets"}, "resourceNames": []string{secret}, "verbs": verbs,
			}
		}
		c.must(http.MethodPatch, "/apis/rbac.authorization.k8s.io/v1/namespaces/tickets/roles/refresher",
			map[string]any{"rules": []any{rule("state", stateVerbs), rule("state-access", access)}})
	}
	rights("get", "watch")
	p.start()
	p.awaitUsable("openticket", 30*time.Second)
	const lost = "access tokens for readers cannot be written: readers get no newer ones"
	await(t, 30*time.Second, "the log says that readers get no tokens", func() bool { return strings.Contains(p.stderr.String(), lost) })
	generation := p.status("openticket").Generation
	await(t, 30*time.Second, "a refresh", func() bool { return p.status("openticket").Generation > generation })
	rights(stateVerbs...)
	label := map[string]any{"metadata": map[string]any{"labels": map[string]string{"a": "b"}}}
	c.must(http.MethodPatch, "/api/v1/namespaces/tickets/secrets/state-access", label) // has it tried again
	await(t, 30*time.Second, "readers get tokens", func() bool {
		keys, _ := c.secretOf("tickets", "state-access")
		return len(keys) == 1
	})
	await(t, 30*time.Second, "the log says that", func() bool {
		return strings.Contains(p.stderr.String(), "access tokens for readers are written again")
	})
	if log := p.stderr.String(); strings.Count(log, lost) != 1 || !strings.Contains(log, `"level":"warn"`) {
		t.Errorf("the log is\n%s", log)
	}
}
