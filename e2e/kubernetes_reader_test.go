package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// A readerFixture is a refresher and two readers that share an account on a real API server.
type readerFixture struct {
	*cluster
	account   *provider
	refresher *proxy
	readers   []*proxy
	reader    string // the kubeconfig of the readers
}

// newReaderFixture starts them. The readers have verbs for the Secret with the access tokens
// alone.
func newReaderFixture(t *testing.T, lifetime time.Duration, verbs ...string) *readerFixture {
	t.Helper()
	f := &readerFixture{cluster: startCluster(t)}
	f.namespace("tickets")
	f.secret("state")
	f.secret("state-access")
	f.account = startSandbox(t, lifetime)["openticket"]
	providers := map[string]*provider{"openticket": f.account}
	f.refresher = newReplicas(t, f.cluster, 1, f.refresherAccount(false), providers)[0]
	f.reader = f.cluster.account("tickets", "reader", "state-access", false, verbs...)
	for range 2 {
		f.readers = append(f.readers, newReader(t, f.reader, f.account))
	}
	f.refresher.start()
	for _, r := range f.readers {
		r.start()
	}
	for _, r := range f.readers {
		r.awaitUsable("openticket", 30*time.Second)
	}
	return f
}

// awaitNewToken waits until all have a token of a new generation.
func (f *readerFixture) awaitNewToken() {
	f.t.Helper()
	old := f.refresher.status("openticket").Generation
	for _, p := range append(f.readers, f.refresher) {
		await(f.t, 30*time.Second, "all have the next token", func() bool {
			return p.status("openticket").Generation > old
		})
	}
}

// secret makes an empty Secret.
func (c *cluster) secret(name string) {
	c.t.Helper()
	c.must(http.MethodPost, "/api/v1/namespaces/tickets/secrets", map[string]any{"metadata": map[string]any{"name": name}})
}

// refresherAccount makes a ServiceAccount with what a refresher needs for readers, and that
// may create Secrets if asked to. It returns the path of its kubeconfig.
func (c *cluster) refresherAccount(create bool) string {
	c.t.Helper()
	path := c.account("tickets", "refresher", "state", create, stateVerbs...)
	rules := []any{map[string]any{
		"apiGroups": []string{""}, "resources": []string{"secrets"},
		"resourceNames": []string{"state", "state-access"}, "verbs": stateVerbs,
	}}
	if create {
		rules = append(rules, map[string]any{
			"apiGroups": []string{""}, "resources": []string{"secrets"}, "verbs": []string{"create"},
		})
	}
	c.must(http.MethodPatch, "/apis/rbac.authorization.k8s.io/v1/namespaces/tickets/roles/refresher",
		map[string]any{"rules": rules})
	return path
}

// newReader returns an instance with ROLE=reader.
func newReader(t *testing.T, kubeconfig string, account *provider) *proxy {
	t.Helper()
	return newReaderOf(t, account, "TICKETPROXY_STATE=kubernetes:tickets/state", "KUBECONFIG="+kubeconfig)
}

// newReaderOf returns an instance with ROLE=reader, which gets no credentials.
func newReaderOf(t *testing.T, account *provider, extraEnv ...string) *proxy {
	t.Helper()
	bare := &provider{t: t, name: account.name, origin: account.origin}
	for _, setting := range account.settings {
		if name, _, _ := strings.Cut(setting, "="); name == "PROVIDER" || name == "UPSTREAM_URL" {
			bare.settings = append(bare.settings, setting)
		}
	}
	return newProxy(t, t.TempDir(), map[string]*provider{account.name: bare},
		append([]string{"TICKETPROXY_ROLE=reader"}, extraEnv...)...)
}

// A tokenWatch collects every refresh token that the state has had.
type tokenWatch struct {
	stop, stopped chan struct{}
	mu            sync.Mutex
	tokens        map[string]bool
}

func (c *cluster) watchTokens(account string) *tokenWatch {
	w := &tokenWatch{stop: make(chan struct{}), stopped: make(chan struct{}), tokens: map[string]bool{}}
	go func() {
		defer close(w.stopped)
		for {
			w.look(c, account)
			select {
			case <-w.stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	return w
}

func (w *tokenWatch) look(c *cluster, account string) {
	var s struct {
		Data map[string][]byte `json:"data"`
	}
	var record struct {
		RefreshToken string `json:"refresh_token"`
	}
	res, err := c.admin.Get(c.origin + "/api/v1/namespaces/tickets/secrets/state")
	if err != nil {
		return
	}
	defer res.Body.Close()
	if json.NewDecoder(res.Body).Decode(&s) == nil && json.Unmarshal(s.Data[account+".json"], &record) == nil && record.RefreshToken != "" {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.tokens[record.RefreshToken] = true
	}
}

// end returns the tokens.
func (w *tokenWatch) end() map[string]bool {
	close(w.stop)
	<-w.stopped
	return w.tokens
}

// TestKubernetesReaders has readers serve through many refreshes of short tokens. No app may
// see an error, also when the API revokes the access token. No refresh token may ever be in
// a reader's memory.
func TestKubernetesReaders(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: MEMORY IS NOT SEARCHED because only root may read it")
	}
	f := newReaderFixture(t, 5*time.Second, "get", "watch", "patch")
	seed := f.account.seed
	seen := f.watchTokens("openticket")
	before := f.requests()
	var loads []*load
	for _, r := range f.readers {
		loads = append(loads, startLoad(r, "openticket", 20*time.Millisecond))
	}
	const revocations = 2
	began := time.Now()
	for range revocations {
		time.Sleep(*clusterTime / 4)
		f.awaitNewToken()           // so that no token is revoked that the readers do not have yet
		time.Sleep(time.Second / 2) // so that no request is being sent again with it: its second 401 is the app's
		f.account.revoke()
	}
	time.Sleep(*clusterTime / 2)
	after := f.requests()
	total := 0
	for _, l := range loads {
		served, failed, example := l.end()
		total += served
		if len(failed) > 0 {
			t.Errorf("apps of a reader saw %v, for example %s", failed, example)
		}
	}
	n := f.account.counters()
	t.Logf("%d requests of two readers in %v, %d redemptions, %d writes, %d reads, %d watches", total,
		time.Since(began).Round(time.Second), n.Redemptions, after["PATCH"]-before["PATCH"], after["GET"]-before["GET"],
		after["WATCH"]-before["WATCH"])
	if n.MaxRedemptions != 1 || n.Reuses != 0 || n.APIUnauthorized == 0 {
		t.Errorf("%+v", n)
	}
	secrets := seen.end()
	secrets[seed] = true
	if len(secrets) < 3 {
		t.Fatalf("only %d refresh tokens were seen", len(secrets))
	}
	if got := found(coreOf(t, f.refresher.cmd.Process.Pid), secrets); len(got) == 0 {
		t.Error("not even the refresher's memory has a refresh token: the search is of no use")
	} else {
		t.Logf("of %d refresh tokens, the refresher's memory has %d forms", len(secrets), len(got))
	}
	for _, r := range f.readers {
		if got := found(coreOf(t, r.cmd.Process.Pid), secrets); len(got) > 0 {
			t.Errorf("the reader's memory has refresh tokens: %v", got)
		}
	}
}

// TestKubernetesReaderWithoutPatch tests that a reader that cannot raise the flag is healed
// by the refreshers' own refresh.
func TestKubernetesReaderWithoutPatch(t *testing.T) {
	f := newReaderFixture(t, time.Hour, "get", "watch")
	r := f.readers[0]
	r.mustServe("openticket")
	f.account.revoke()
	began := time.Now()
	if a, err := r.request("openticket"); err != nil || a.status != http.StatusUnauthorized || a.code != "" {
		t.Errorf("%v, %+v, want the API's 401", err, a)
	}
	if waited := time.Since(began); waited < 4*time.Second || waited > 7*time.Second {
		t.Errorf("the app waited %v", waited)
	}
	f.refresher.mustServe("openticket") // which heals itself
	await(t, 5*time.Second, "the reader serves again", func() bool {
		a, err := r.request("openticket")
		return err == nil && a.ok()
	})
}

// TestKubernetesReaderWithoutWatch tests that a reader that may only get is in time, too.
func TestKubernetesReaderWithoutWatch(t *testing.T) {
	f := newReaderFixture(t, 10*time.Second, "get")
	l := startLoad(f.readers[0], "openticket", 50*time.Millisecond)
	time.Sleep(25 * time.Second)
	if _, failed, example := l.end(); len(failed) > 0 {
		t.Errorf("apps of a reader saw %v, for example %s", failed, example)
	}
}

// TestKubernetesReaderStatus tests what a reader says of itself.
func TestKubernetesReaderStatus(t *testing.T) {
	f := newReaderFixture(t, time.Hour, "get", "watch")
	r := f.readers[0]
	run := func(p *proxy, args ...string) (string, int) {
		cmd := exec.Command(binary, args...)
		cmd.Env = p.environ()
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	for _, tt := range []struct {
		p    *proxy
		args string
		code int
		want []string
	}{
		{r, "check", 0, []string{
			"secret tickets/state-access can be read; this user may not patch it",
			"account openticket: generation 1, an access token", "not tried, because a reader has none",
		}},
		{f.refresher, "check", 0, []string{"note  readers: access tokens for readers are written to secret tickets/state-access"}},
		{r, "status", 0, []string{"openticket: role reader: cannot refresh, refreshers do"}},
		{r, "login", 2, []string{"a reader cannot log in"}},
	} {
		out, code := run(tt.p, tt.args)
		for _, want := range tt.want {
			if code != tt.code || !strings.Contains(out, want) {
				t.Errorf("%s: exit code %d, want %d and %q:\n%s", tt.args, code, tt.code, want, out)
			}
		}
		if tt.p == r && strings.Contains(out, "issuer ") || strings.Contains(out, "warn") {
			t.Errorf("%s:\n%s", tt.args, out)
		}
	}
	if ok, why := r.ready(); !ok || !strings.Contains(why, "account openticket: ready (role reader") {
		t.Errorf("readyz: %v, %s", ok, why)
	}
	if out, _ := run(newReader(t, f.adminKubeconfig(), f.account), "check"); !strings.Contains(out, "warn  access tokens: this user may get secret tickets/state, which has the refresh tokens") {
		t.Errorf("check with too many permissions:\n%s", out)
	}
}

// TestKubernetesReaderPermissions tests that a reader's account can read the refresh token by
// no verb, and a refresher's no other Secret.
func TestKubernetesReaderPermissions(t *testing.T) {
	f := newReaderFixture(t, time.Hour, "get", "watch", "patch")
	f.secret("other")
	const collection = "/api/v1/namespaces/tickets/secrets"
	patch := map[string]any{"metadata": map[string]any{"annotations": map[string]string{"a": "b"}}}
	for who, denied := range map[string][]string{
		f.reader: {"state", "other"}, f.kubeconfigOf("tickets", "refresher"): {"other"},
	} {
		for _, name := range denied {
			one := collection + "/" + name
			for _, request := range []struct {
				method, path string
				body         any
			}{
				{http.MethodGet, one, nil},
				{http.MethodGet, one + "?resourceVersion=0", nil},
				{http.MethodGet, collection, nil},
				{http.MethodGet, collection + "?fieldSelector=metadata.name%3D" + name, nil},
				{http.MethodGet, collection + "?watch=1&timeoutSeconds=1", nil},
				{http.MethodGet, collection + "?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3D" + name, nil},
				{http.MethodGet, "/api/v1/secrets", nil},
				{http.MethodGet, "/api/v1/watch/namespaces/tickets/secrets/" + name, nil},
				{http.MethodPatch, one, patch},
				{http.MethodPatch, one + "?dryRun=All", patch},
				{http.MethodPut, one, map[string]any{"metadata": map[string]any{"name": name}}},
				{http.MethodDelete, one, nil},
				{http.MethodDelete, collection, nil},
				{http.MethodPost, collection, map[string]any{"metadata": map[string]any{"name": name + "-new"}}},
				{http.MethodPost, "/api/v1/namespaces/tickets/pods", map[string]any{"metadata": map[string]any{"name": "thief"}}},
				{http.MethodPost, "/api/v1/namespaces/tickets/serviceaccounts/refresher/token", map[string]any{}},
			} {
				if code, body := f.askAs(who, request.method, request.path, request.body); code != http.StatusForbidden {
					t.Errorf("%s %s: %d, want 403\n%s", request.method, request.path, code, body)
				}
			}
		}
	}
	code, body := f.askAs(f.reader, http.MethodGet, collection+"/state-access", nil)
	if code != http.StatusOK || strings.Contains(body, "refresh") {
		t.Errorf("state-access: %d\n%s", code, body)
	}
}

// askAs makes a request with the token of a kubeconfig that kubeconfigOf has made.
func (c *cluster) askAs(kubeconfig, method, path string, body any) (int, string) {
	c.t.Helper()
	token, err := os.ReadFile(strings.TrimSuffix(kubeconfig, "kubeconfig") + "token")
	if err != nil {
		c.t.Fatal(err)
	}
	data, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequest(method, c.origin+path, strings.NewReader(string(data)))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+string(token))
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: c.roots()},
	}}
	res, err := client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

// roots returns the cluster's certificate authority.
func (c *cluster) roots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.readKubeconfig().Clusters[0].Cluster.CA)
	return roots
}

// TestKubernetesReadersExample applies the example of readers, and has a refresher and a
// reader check and serve with the permissions of the example.
func TestKubernetesReadersExample(t *testing.T) {
	c := startCluster(t)
	c.must(http.MethodPost, "/api/v1/namespaces", map[string]any{"metadata": map[string]any{
		"name": "tickets",
		"labels": map[string]string{
			"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted",
		},
	}})
	c.secret("ticketpark-state")
	c.secret("ticketpark-state-access")
	c.apply("tickets", "../charts/ticketproxy/examples/readers.yaml")
	account := startSandbox(t, time.Hour)["ticketpark"]
	const state = "TICKETPROXY_STATE=kubernetes:ticketpark-state"
	refresher := newProxy(t, t.TempDir(), map[string]*provider{"ticketpark": account},
		state, "KUBECONFIG="+c.kubeconfigOf("tickets", "refresher"))
	reader := newReader(t, c.kubeconfigOf("tickets", "app-reader"), account)
	reader.extraEnv[1] = state
	refresher.start()
	refresher.awaitUsable("ticketpark", 30*time.Second)
	reader.start()
	reader.awaitUsable("ticketpark", 30*time.Second)
	reader.mustServe("ticketpark")
	for p, want := range map[*proxy]string{
		refresher: "access tokens for readers are written to secret tickets/ticketpark-state-access",
		reader:    "ok    access tokens: secret tickets/ticketpark-state-access can be read\n",
	} {
		cmd := exec.Command(binary, "check")
		cmd.Env = p.environ()
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want) || strings.Contains(string(out), "warn") {
			t.Errorf("check: %v\n%s", err, out)
		}
	}
}
