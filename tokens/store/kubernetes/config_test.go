package kubernetes

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ticketproxy/hint"
	"ticketproxy/tokens"
)

// A tlsServer is an API server that answers each request with its credentials.
func startTLS(t *testing.T) (url, caData string, seen *atomic.Pointer[http.Request]) {
	t.Helper()
	seen = new(atomic.Pointer[http.Request])
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r)
		answer(w, http.StatusOK, object{Metadata: metadata{ResourceVersion: "1"}})
	}))
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return server.URL, base64.StdEncoding.EncodeToString(ca), seen
}

// environment returns a lookup of variables.
func environment(vars ...string) func(string) string {
	return func(name string) string {
		for _, pair := range vars {
			if value, ok := strings.CutPrefix(pair, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// kubeconfigFor returns a kubeconfig with one context.
func kubeconfigFor(server, ca, user string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Config
current-context: one
contexts:
- name: one
  context: {cluster: local, user: me, namespace: tickets}
clusters:
- name: local
  cluster: {server: %q, certificate-authority-data: %s}
users:
- name: me
  user: %s
`, server, ca, user)
}

// TestKubeconfig tests each kind of credential on a TLS server.
func TestKubeconfig(t *testing.T) {
	t.Parallel()
	server, ca, seen := startTLS(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), "from-a-file\n")
	write(t, filepath.Join(dir, "plugin"), "#!/bin/sh\n"+
		`case $KUBERNETES_EXEC_INFO in *ExecCredential*) ;; *) exit 1;; esac`+"\n"+
		`echo '{"kind":"ExecCredential","status":{"token":"from-'$1-$WORD'"}}'`+"\n")
	for user, want := range map[string]string{
		"{token: from-the-config}":   "Bearer from-the-config",
		"{tokenFile: token}":         "Bearer from-a-file",
		"{username: u, password: p}": "Basic " + base64.StdEncoding.EncodeToString([]byte("u:p")),
		"{}":                         "",
		"{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, args: [a], env: [{name: WORD, value: plugin}]}}": "Bearer from-a-plugin",
	} {
		path := write(t, filepath.Join(dir, "config"), kubeconfigFor(server, ca, user))
		s, err := Open("state", environment("KUBECONFIG="+path))
		if err != nil {
			t.Errorf("%s: %v", user, err)
			continue
		}
		if s.String() != "secret tickets/state" {
			t.Errorf("%v", s)
		}
		if _, err := s.get(t.Context()); err != nil {
			t.Errorf("%s: %v", user, err)
			continue
		}
		if got := seen.Load().Header.Get("Authorization"); got != want {
			t.Errorf("%s: Authorization %q, want %q", user, got, want)
		}
	}
}

// TestExecBesideARelativeKubeconfig tests that ./PROGRAM is the one in the kubeconfig's directory,
// also when that is the working directory.
func TestExecBesideARelativeKubeconfig(t *testing.T) {
	server, ca, seen := startTLS(t)
	t.Chdir(t.TempDir())
	write(t, "plugin", "#!/bin/sh\n"+`echo '{"kind":"ExecCredential","status":{"token":"x"}}'`+"\n")
	write(t, "config", kubeconfigFor(server, ca, "{exec: {command: ./plugin}}"))
	s, err := Open("state", environment("KUBECONFIG=config"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.get(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := seen.Load().Header.Get("Authorization"); got != "Bearer x" {
		t.Errorf("Authorization %q", got)
	}
}

// TestRotatedToken tests that a token is read again for each request.
func TestRotatedToken(t *testing.T) {
	t.Parallel()
	server, ca, seen := startTLS(t)
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "config"), kubeconfigFor(server, ca, "{tokenFile: token}"))
	s, err := Open("other/state", environment("KUBECONFIG="+path))
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"first", "second"} {
		write(t, filepath.Join(dir, "token"), token)
		if _, err := s.get(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := seen.Load().Header.Get("Authorization"); got != "Bearer "+token || !strings.Contains(seen.Load().URL.Path, "/other/") {
			t.Errorf("%s: %s %s", token, got, seen.Load().URL.Path)
		}
	}
}

// TestUnusableTokens tests that what is no token is an error with a hint, and no anonymous
// request.
func TestUnusableTokens(t *testing.T) {
	t.Parallel()
	server, ca, seen := startTLS(t)
	dir := t.TempDir()
	cert, err := base64.StdEncoding.DecodeString(ca)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "ca.crt"), string(cert))
	write(t, filepath.Join(dir, "namespace"), "tickets")
	for text, want := range map[string]string{"": "token is empty", " \n": "token is empty", "the-secret\nx": "token has a line break"} {
		write(t, filepath.Join(dir, "token"), text)
		path := write(t, filepath.Join(dir, "config"), kubeconfigFor(server, ca, "{tokenFile: token}"))
		s, err := Open("state", environment("KUBECONFIG="+path))
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.get(t.Context())
		_, pod := inCluster("127.0.0.1", "1", dir)
		for _, err := range []error{err, pod} {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "the-secret") || hint.Of(err) == "" {
				t.Errorf("%q: %v; hint %q; want %s", text, err, hint.Of(err), want)
			}
		}
		if strings.Contains(err.Error(), "ServiceAccount") {
			t.Errorf("%q: %v", text, err)
		}
	}
	path := write(t, filepath.Join(dir, "config"), kubeconfigFor(server, ca, `{token: "the-secret\nx"}`))
	if _, err := Open("state", environment("KUBECONFIG="+path)); err == nil || !strings.Contains(err.Error(), "token has a line break") {
		t.Errorf("%v", err)
	}
	e := &execPlugin{kubeExec: kubeExec{Command: "/bin/sh", Args: []string{"-c",
		`echo '{"kind":"ExecCredential","status":{"token":"the-secret\\nx"}}'`}}}
	if _, err := e.current(t.Context()); err == nil || !strings.Contains(err.Error(), "printed has a line break") {
		t.Errorf("%v", err)
	}
	if seen.Load() != nil {
		t.Error("a request was sent")
	}
}

// TestExecCredential tests how long a credential is kept, and what a failing program says.
func TestExecCredential(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, test := range map[string]struct {
		expiry string
		runs   int
	}{
		"no end":       {"", 1},
		"an hour":      {time.Now().Add(time.Hour).Format(time.RFC3339), 1},
		"some seconds": {time.Now().Add(5 * time.Second).Format(time.RFC3339), 3},
	} {
		log := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		field := ""
		if test.expiry != "" {
			field = `,"expirationTimestamp":"` + test.expiry + `"`
		}
		e := &execPlugin{kubeExec: kubeExec{Command: "/bin/sh", Args: []string{"-c",
			`echo run >>` + log + `; echo '{"kind":"ExecCredential","status":{"token":"x"` + field + `}}'`}}}
		for range 3 {
			if _, err := e.current(t.Context()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if text, _ := os.ReadFile(log); strings.Count(string(text), "run") != test.runs {
			t.Errorf("%s: %d runs, want %d", name, strings.Count(string(text), "run"), test.runs)
		}
	}
	for command, want := range map[string]struct{ text, hint string }{
		"no-such-program-here": {"executable file not found in $PATH", "install it"},
		"/no/such/program":     {"no such file", "install it"},
		dir:                    {"permission denied", "chmod +x "},
		"/bin/false":           {"exit status 1", "run /bin/false by hand"},
		"/bin/true":            {"printed no ExecCredential", "run /bin/true by hand"},
	} {
		e := &execPlugin{kubeExec: kubeExec{Command: command, InstallHint: "install it\n"}}
		if _, err := e.current(t.Context()); err == nil || !strings.Contains(err.Error(), want.text) || !strings.Contains(hint.Of(err), want.hint) {
			t.Errorf("%s: %v; hint %q; want %v", command, err, hint.Of(err), want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	e := &execPlugin{kubeExec: kubeExec{Command: "sleep", Args: []string{"60"}}}
	if _, err := e.current(ctx); err == nil || !strings.Contains(hint.Of(err), "it must end within 10 s") {
		t.Errorf("a program that hangs: %v; hint %q", err, hint.Of(err))
	}
}

// TestLocalHints tests the hints for what is wrong on this side of the API server.
func TestLocalHints(t *testing.T) {
	t.Parallel()
	server, ca, _ := startTLS(t)
	dir := t.TempDir()
	good := kubeconfigFor(server, ca, "{tokenFile: token}")
	write(t, filepath.Join(dir, "token"), "x")
	for name, test := range map[string]struct{ text, want string }{
		"no token file":     {strings.Replace(good, "tokenFile: token", "tokenFile: none", 1), "what writes the tokenFile"},
		"unknown authority": {strings.Replace(good, "certificate-authority-data: "+ca, "insecure-skip-tls-verify: false", 1), "name the authority"},
		"another name": {strings.Replace(good, "certificate-authority-data", "tls-server-name: other.test, certificate-authority-data", 1),
			"set tls-server-name"},
	} {
		path := write(t, filepath.Join(dir, "config"), test.text)
		s, err := Open("state", environment("KUBECONFIG="+path))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.get(t.Context()); !errors.Is(err, tokens.ErrUnavailable) || !strings.Contains(hint.Of(err), test.want) {
			t.Errorf("%s: %v; hint %q", name, err, hint.Of(err))
		}
	}
	if _, err := (kubeUser{Certificate: dir + "/none"}).certificate(nil); !strings.Contains(hint.Of(err), "see client-certificate") {
		t.Errorf("no certificate file: %v; hint %q", err, hint.Of(err))
	}
}

// TestKubeconfigMistakes tests that an error names what is wrong, and shows no secret.
func TestKubeconfigMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := kubeconfigFor("https://127.0.0.1:1", base64.StdEncoding.EncodeToString([]byte("x")), "{token: the-secret}")
	plain := strings.Replace(good, ", certificate-authority-data: eA==", "", 1)
	for name, test := range map[string]struct{ text, want string }{
		"no certificate":    {good, "is no PEM certificate"},
		"no YAML":           {"the-secret: [", "is not a kubeconfig"},
		"another type":      {"users: the-secret", "is not a kubeconfig"},
		"no context":        {strings.Replace(good, "current-context: one", "current-context: two", 1), `no context "two"`},
		"no cluster":        {strings.Replace(good, "name: local", "name: other", 1), `no cluster "local"`},
		"no server":         {strings.Replace(good, "https://127.0.0.1:1", "the-secret", 1), "is no URL"},
		"no TLS":            {strings.Replace(plain, "https://127.0.0.1:1", "http://cluster.example", 1), "has no TLS"},
		"an auth-provider":  {strings.Replace(plain, "{token: the-secret}", "{auth-provider: {name: gcp}}", 1), "auth-provider"},
		"an impersonation":  {strings.Replace(plain, "{token: the-secret}", "{as: root}", 1), "impersonates"},
		"data of no base64": {strings.Replace(good, "authority-data: eA==", "authority-data: '*'", 1), "is not base64"},
	} {
		path := write(t, filepath.Join(dir, "config"), test.text)
		_, err := Open("state", environment("KUBECONFIG="+path))
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "the-secret") || hint.Of(err) == "" {
			t.Errorf("%s: %v; hint %s; want %s", name, err, hint.Of(err), test.want)
		}
	}
	for name, vars := range map[string][]string{
		"nothing":    nil,
		"no file":    {"HOME=" + dir + "/none"},
		"no token":   {"KUBERNETES_SERVICE_HOST=127.0.0.1", "KUBERNETES_SERVICE_PORT=1"},
		"KUBECONFIG": {"KUBECONFIG=" + dir + "/none:" + dir + "/none2"},
	} {
		if _, err := Open("state", environment(vars...)); err == nil || hint.Of(err) == "" {
			t.Errorf("%s: %v; hint %q", name, err, hint.Of(err))
		}
	}
}

// TestMergedKubeconfigs tests that what comes first counts, and that missing files do not.
func TestMergedKubeconfigs(t *testing.T) {
	t.Parallel()
	server, ca, seen := startTLS(t)
	dir := t.TempDir()
	first := write(t, filepath.Join(dir, "first"), "users: [{name: me, user: {token: of-the-first}}]\n")
	second := write(t, filepath.Join(dir, "second"), kubeconfigFor(server, ca, "{token: of-the-second}"))
	s, err := Open("state", environment("KUBECONFIG="+strings.Join([]string{first, dir + "/none", second}, ":")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.get(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := seen.Load().Header.Get("Authorization"); got != "Bearer of-the-first" {
		t.Error(got)
	}
}

// FuzzKubeconfig tests that no kubeconfig makes Open fail in another way than by an error.
func FuzzKubeconfig(f *testing.F) {
	f.Add(kubeconfigFor("https://127.0.0.1:1", "eA==", "{token: x}"))
	f.Add("users: [{name: me, user: {exec: {command: x, env: [{name: a}]}}}]")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := Open("state", environment("KUBECONFIG="+path)); err == nil && s.client.server.Host == "" {
			t.Error("a client without a server")
		}
	})
}
