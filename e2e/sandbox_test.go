package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A provider is one issuer and its API in a running sandbox.
type provider struct {
	t        *testing.T
	name     string
	origin   string
	settings []string // NAME=value, as the sandbox prints them without the prefix
	seed     string   // the newest refresh token that starts a token family; "" where a login does
}

// counters are what the sandbox's control endpoint reports.
type counters struct {
	TokenRequests   int `json:"token_requests"`
	Redemptions     int `json:"redemptions"`
	MaxRedemptions  int `json:"max_redemptions"`
	Reuses          int `json:"reuses"`
	FamiliesRevoked int `json:"families_revoked"`
	InvalidGrants   int `json:"invalid_grants"`
	APIUnauthorized int `json:"api_unauthorized"`
}

// startSandbox runs the sandbox, with rotation and reuse detection, until the test ends.
func startSandbox(t *testing.T, accessLifetime time.Duration) map[string]*provider {
	t.Helper()
	cmd := exec.Command(binary, "sandbox", "--listen", "127.0.0.1:0", "--rotate", "--reuse-detection",
		"--access-lifetime", accessLifetime.String())
	cmd.Env = []string{}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	providers := map[string]*provider{}
	for lines := bufio.NewScanner(stdout); len(providers) < 3; {
		p := scanProvider(lines)
		if p == nil {
			t.Fatal("the sandbox exited before it printed all providers")
		}
		p.t = t
		providers[p.name] = p
	}
	return providers
}

func scanProvider(lines *bufio.Scanner) *provider {
	p := &provider{}
	for lines.Scan() {
		variable, value, _ := strings.Cut(lines.Text(), "=")
		switch variable {
		case "":
			return p
		case "TICKETPROXY_PROVIDER":
			p.name = value
		case "TICKETPROXY_UPSTREAM_URL":
			p.origin = value
		case "TICKETPROXY_REFRESH_TOKEN":
			p.seed = value
			continue
		}
		if value != "" {
			p.settings = append(p.settings, strings.TrimPrefix(lines.Text(), "TICKETPROXY_"))
		}
	}
	return nil
}

// environ returns the variables of the upstream that proxies to p.
func (p *provider) environ(listen string) []string {
	var all []string
	settings := append(slices.Clone(p.settings), "LISTEN="+listen)
	if p.seed != "" {
		settings = append(settings, "REFRESH_TOKEN="+p.seed)
	}
	for _, setting := range settings {
		all = append(all, "TICKETPROXY_"+strings.ToUpper(p.name)+"_"+setting)
	}
	return all
}

// setUpstream replaces p's API. The issuer stays.
func (p *provider) setUpstream(url string) { p.set("UPSTREAM_URL", url) }

// set replaces a setting's value.
func (p *provider) set(name, value string) {
	for i, setting := range p.settings {
		if strings.HasPrefix(setting, name+"=") {
			p.settings[i] = name + "=" + value
		}
	}
}

// control uses no keep-alive, so that awaitNoConnections sees only other clients' connections.
var control = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}

func (p *provider) control(method, path string, body, into any) {
	p.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequest(method, p.origin+"/_sandbox/"+path, bytes.NewReader(data))
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := control.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		p.t.Fatalf("sandbox control path %s: %s", path, res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		p.t.Fatal(err)
	}
}

func (p *provider) counters() counters {
	p.t.Helper()
	var state struct {
		Counters counters `json:"counters"`
	}
	p.control(http.MethodGet, "", nil, &state)
	return state.Counters
}

// slow delays token answers before and after the issuer commits the rotation.
func (p *provider) slow(beforeCommit, afterCommit time.Duration) {
	p.t.Helper()
	p.control(http.MethodPost, "faults", map[string]string{
		"slow_before_commit": beforeCommit.String(),
		"slow_after_commit":  afterCommit.String(),
	}, &struct{}{})
}

// revoke makes the API refuse all current access tokens.
func (p *provider) revoke() {
	p.t.Helper()
	p.control(http.MethodPost, "revoke", map[string]string{"what": "access"}, &struct{}{})
}

// reseed gives p a new first refresh token.
func (p *provider) reseed() {
	p.t.Helper()
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	p.control(http.MethodPost, "seed", struct{}{}, &answer)
	p.seed = answer.RefreshToken
}

// awaitNoConnections waits until p has no open connections. The issuer may still
// commit a request after its client was killed.
func (p *provider) awaitNoConnections() {
	p.t.Helper()
	var port int
	if _, err := fmt.Sscanf(p.origin, "http://127.0.0.1:%d", &port); err != nil {
		p.t.Fatal(err)
	}
	local := fmt.Sprintf("0100007F:%04X", port)
	// The kernel does not write the table at one moment. While other tests open and close
	// connections, one that stays may be missing in it.
	for range 5 {
		p.awaitTableWithout(local)
	}
}

// awaitTableWithout waits until the kernel's table of connections has none of that local
// address.
func (p *provider) awaitTableWithout(local string) {
	p.t.Helper()
	await(p.t, 10*time.Second, "the sandbox closes a killed client's connections", func() bool {
		table, err := os.ReadFile("/proc/net/tcp")
		if err != nil {
			p.t.Fatal(err)
		}
		for line := range strings.Lines(string(table)) {
			// The states are SYN_RECV, ESTABLISHED and CLOSE_WAIT.
			fields := strings.Fields(line)
			if fields[1] == local && (fields[3] == "03" || fields[3] == "01" || fields[3] == "08") {
				return false
			}
		}
		return true
	})
}
