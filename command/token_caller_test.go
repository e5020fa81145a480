package command

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"ticketproxy/proxy/inbound/authn"
	"ticketproxy/sandbox"
)

// A running instance with CALLERS_FILE gives a token to the caller of --key-file.
func TestTokenForACaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, digest := authn.NewKey()
		other, _ := authn.NewKey()
		file := writeFile(t, "callers.yaml", fmt.Sprintf("callers: {shop: {keys: [\"sha256:%x\"], tokens: [ticketpark]}}", digest))
		f := newFixture(t, sandbox.Options{}, "TICKETPROXY_TOKEN_LISTEN=0.0.0.0:8090", "TICKETPROXY_CALLERS_FILE="+file)
		f.serve()
		keyFile := writeFile(t, "key", key.Reveal()+"\n")
		f.mustToken(f.environ, "--key-file", keyFile)
		f.mustToken(nil, "--url", "http://127.0.0.1:8090/", "--key-file", keyFile)
		for _, test := range []struct {
			args, want string
			code       int
		}{
			{"ticketpark", "\nhint: this instance asks who calls: give --key-file FILE", 1},
			{"ticketpark --key-file " + writeFile(t, "other", other.Reveal()), "a caller in the instance's CALLERS_FILE", 1},
			{"openticket --key-file " + keyFile, "no such account in its tokens", 1},
			{"ticketpark --key-file " + writeFile(t, "empty", "\n"), "holds no key", 1},
			{"ticketpark --key-file " + filepath.Join(f.dir, "none"), "no such file", 1},
			{"ticketpark --url http://127.0.0.1:9999", "at http://127.0.0.1:9999 for a token: nothing listens there", 1},
			{"ticketpark --url http://shop:" + key.Reveal() + "@127.0.0.1:8090", "give --key-file", 2},
			{"ticketpark --url 127.0.0.1:8090", "not the URL of an instance", 2},
			{"ticketpark --url http://127.0.0.1:8090/token", "has a path", 2},
			{"ticketpark --ca-file " + keyFile, "is never used", 2},
			{"--url http://127.0.0.1:8090", "there is more than one account", 2},
		} {
			code, out, errs := f.token(f.environ, strings.Fields(test.args)...)
			if code != test.code || out != "" || !strings.Contains(errs, test.want) {
				t.Errorf("%s: exit %d, %q, %q", test.args, code, out, errs)
			}
			mustNotShow(t, "the output", errs, key.Reveal(), other.Reveal())
		}
		if code, _, errs := f.token(nil, "--url", "http://127.0.0.1:8090"); code != 2 || !strings.Contains(errs, "needs the name of an account") {
			t.Errorf("exit %d, %q", code, errs)
		}
	})
}

// The certificate of an instance with TLS is checked with --ca-file, and a redirect is not
// followed with the key.
func TestTokenOverTLS(t *testing.T) {
	t.Parallel()
	var header http.Header
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		if r.URL.Path == "/token/moved" {
			http.Redirect(w, r, "/token/park", http.StatusFound)
			return
		}
		w.Write([]byte(`{"access_token":"t"}`))
	}))
	s.Config.ErrorLog = log.New(t.Output(), "", 0)
	s.StartTLS()
	defer s.Close()
	ca := writeFile(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	key := writeFile(t, "key", "tpk_x")
	run := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		e := &Env{Stdout: &out, Stderr: &errs}
		code := ExitCode(e.Stderr, Run(t.Context(), e, append([]string{"token"}, args...)))
		return code, out.String(), errs.String()
	}
	if code, out, errs := run("park", "--url", s.URL, "--ca-file", ca, "--key-file", key); code != 0 || out != "t\n" || errs != "" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if got := header.Get("Authorization"); got != "Bearer tpk_x" {
		t.Errorf("Authorization: %s", got)
	}
	if code, out, errs := run("park", "--url", s.URL); code != 1 || out != "" || !strings.Contains(errs, "hint: give --ca-file FILE") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if code, out, errs := run("moved", "--url", s.URL, "--ca-file", ca); code != 1 || out != "" || !strings.Contains(errs, "it answered 302") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if code, _, errs := run("park", "--url", s.URL, "--ca-file", key); code != 1 || !strings.Contains(errs, "without any certificate") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

// writeFile writes a file that only this user can read, and returns its path.
func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
