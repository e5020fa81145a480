package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A tokenTap stands before an issuer, and collects the tokens of its answers.
type tokenTap struct {
	mu     sync.Mutex
	tokens map[string]bool
}

// startTokenTap has the account's token requests go through a tap.
func startTokenTap(t *testing.T, account *provider) *tokenTap {
	t.Helper()
	tap := &tokenTap{tokens: map[string]bool{account.seed: true}}
	origin, err := url.Parse(account.origin)
	if err != nil {
		t.Fatal(err)
	}
	relay := httputil.NewSingleHostReverseProxy(origin)
	relay.ModifyResponse = tap.collect
	for _, setting := range account.settings {
		if before, ok := strings.CutPrefix(setting, "TOKEN_URL="+account.origin); ok {
			account.set("TOKEN_URL", serveAPI(t, relay)+before)
			return tap
		}
	}
	t.Fatal("the sandbox has no token endpoint")
	return nil
}

func (k *tokenTap) collect(res *http.Response) error {
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	res.Body = io.NopCloser(bytes.NewReader(data))
	var answer map[string]any
	if json.Unmarshal(data, &answer) != nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, value := range answer {
		if text, ok := value.(string); ok && strings.HasSuffix(strings.ToLower(name), "token") {
			k.tokens[text] = true
		}
	}
	return nil
}

// all returns the tokens that were seen until now.
func (k *tokenTap) all() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []string
	for token := range k.tokens {
		all = append(all, token)
	}
	return all
}

// A sharedState is a state that replicas and readers share.
type sharedState struct {
	refresher, reader []string // variables
	// allow gives the reader its rights, once a refresher has written.
	allow func()
	// read returns the records, and their copies for readers.
	read func() (records, copies string)
}

// newSharedSecret returns a state in Secrets.
func newSharedSecret(t *testing.T) sharedState {
	t.Helper()
	c := startCluster(t)
	c.namespace("tickets")
	c.secret("state")
	c.secret("state-access")
	const state = "TICKETPROXY_STATE=kubernetes:tickets/state"
	dataOf := func(name string) string {
		var s struct {
			Metadata json.RawMessage   `json:"metadata"`
			Data     map[string][]byte `json:"data"`
		}
		c.ask(http.MethodGet, "/api/v1/namespaces/tickets/secrets/"+name, nil, &s)
		return string(s.Metadata) + string(s.Data["socialboards.json"])
	}
	return sharedState{
		refresher: []string{state, "KUBECONFIG=" + c.refresherAccount(false)},
		reader: []string{state, "KUBECONFIG=" +
			c.account("tickets", "reader", "state-access", false, "get", "watch", "patch")},
		allow: func() {},
		read:  func() (records, copies string) { return dataOf("state"), dataOf("state-access") },
	}
}

// newSharedDatabase returns a state in tables.
func newSharedDatabase(t *testing.T) sharedState {
	t.Helper()
	d := startDatabase(t)
	refresher := d.login("ticketproxy", "canary-0123456789", "CREATE ON SCHEMA public")
	reader := d.login("ticketproxy_reader", "canary-0123456789")
	return sharedState{
		refresher: []string{"TICKETPROXY_STATE=" + refresher},
		reader:    []string{"TICKETPROXY_STATE=" + reader},
		allow: func() {
			d.psql("GRANT SELECT, UPDATE (refused) ON ticketproxy_access TO ticketproxy_reader")
		},
		read: func() (records, copies string) {
			return d.psql("TABLE ticketproxy_state"), d.psql("TABLE ticketproxy_access")
		},
	}
}

// TestEncryptedSharedState logs in to an encrypted state from outside, has replicas and a
// reader use it while its key is changed, and searches the state for tokens in clear.
func TestEncryptedSharedState(t *testing.T) {
	t.Run("kubernetes", func(t *testing.T) { testEncryptedSharedState(t, newSharedSecret(t)) })
	t.Run("postgres", func(t *testing.T) { testEncryptedSharedState(t, newSharedDatabase(t)) })
}

func testEncryptedSharedState(t *testing.T, s sharedState) {
	account := startSandbox(t, 5*time.Second)["socialboards"]
	seen := startTokenTap(t, account)
	keys := filepath.Join(t.TempDir(), "keys")
	write := func(identities ...string) {
		t.Helper()
		if err := os.WriteFile(keys+".new", []byte(strings.Join(identities, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(keys+".new", keys); err != nil {
			t.Fatal(err)
		}
	}
	write(firstIdentity)
	key := "TICKETPROXY_STATE_KEY_FILE=" + keys
	refresher := func(more ...string) *proxy {
		return newProxy(t, t.TempDir(), map[string]*provider{"socialboards": account},
			append(s.refresher[:len(s.refresher):len(s.refresher)], more...)...)
	}
	reader := func(more ...string) *proxy {
		return newReaderOf(t, account, append(s.reader[:len(s.reader):len(s.reader)], more...)...)
	}
	run := func(p *proxy, stdin string, code int, verb string, want ...string) {
		t.Helper()
		cmd := exec.Command(binary, verb)
		cmd.Env = p.environ()
		cmd.Stdin = strings.NewReader(stdin)
		out, _ := cmd.CombinedOutput()
		for _, want := range want {
			if cmd.ProcessState.ExitCode() != code || !strings.Contains(string(out), want) {
				t.Fatalf("%s: exit code %d, want %d and %q:\n%s", verb, cmd.ProcessState.ExitCode(), code, want, out)
			}
		}
	}
	requireSealed := func(recipient string) {
		t.Helper()
		records, copies := s.read()
		if !strings.Contains(records, recipient) || !strings.Contains(copies, recipient) {
			t.Errorf("not encrypted to %s:\n%s\n%s", recipient, records, copies)
		}
		for _, token := range seen.all() {
			if strings.Contains(records, token) || strings.Contains(copies, token) {
				t.Errorf("the state has %s… in clear:\n%s\n%s", token[:min(6, len(token))], records, copies)
			}
		}
	}

	outside := refresher("TICKETPROXY_STATE_RECIPIENT=" + firstRecipient)
	seed := account.seed
	account.seed = ""
	run(outside, seed+"\n", 0, "login", "logged in, generation 1")
	s.allow()
	requireSealed(firstRecipient)

	// Without the key, nothing is used and nothing is overwritten.
	const advice = "set TICKETPROXY_STATE_KEY_FILE to the file with the identity of age1"
	poor, poorReader := refresher(), reader()
	before, _ := s.read()
	run(poor, "", 1, "check", advice)
	account.reseed()
	for _, p := range []*proxy{poor, poorReader} {
		p.start()
		await(t, 20*time.Second, "an instance without the key says what it needs", func() bool {
			got := p.status("socialboards")
			return !got.Usable && strings.Contains(got.Hint, advice)
		})
	}
	run(poorReader, "", 1, "check", advice)
	poor.terminate(30 * time.Second)
	poorReader.terminate(30 * time.Second)
	if after, _ := s.read(); after != before {
		t.Errorf("the record was\n%s\nand is\n%s", before, after)
	}
	account.seed = ""

	var all []*proxy
	for _, p := range []*proxy{refresher(key), refresher(key), reader(key)} {
		p.start()
		p.awaitUsable("socialboards", 30*time.Second)
		all = append(all, p)
	}
	var loads []*load
	for _, p := range all {
		loads = append(loads, startLoad(p, "socialboards", 20*time.Millisecond))
	}
	awaitNext := func() {
		t.Helper()
		old := all[0].status("socialboards").Generation
		for _, p := range all {
			await(t, 30*time.Second, "all have the next token", func() bool {
				return p.status("socialboards").Generation > old
			})
		}
	}
	awaitNext()
	requireSealed(firstRecipient)
	write(secondIdentity, firstIdentity)
	run(all[0], "", 0, "rekey", "ok    account socialboards: generation ", "encrypted to "+secondRecipient)
	awaitNext()
	requireSealed(secondRecipient)
	write(secondIdentity)
	awaitNext()
	awaitNext()
	requireSealed(secondRecipient)
	served := 0
	for _, l := range loads {
		n, failed, example := l.end()
		served += n
		if len(failed) > 0 {
			t.Errorf("apps saw %v, for example %s", failed, example)
		}
	}
	n := account.counters()
	t.Logf("%d requests, %d redemptions, %d tokens seen", served, n.Redemptions, len(seen.all()))
	if n.MaxRedemptions != 1 || n.Reuses != 0 || len(seen.all()) < 8 {
		t.Errorf("%+v, %d tokens seen", n, len(seen.all()))
	}
}
