package e2e

import (
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDeviceLogin logs in without a browser on the program's machine (RFC 8628): the person
// opens the address that the program shows, enters nothing but what is in it, and allows the
// access at oidc-provider.
func TestDeviceLogin(t *testing.T) {
	t.Parallel()
	r := newIssuerRun(t, startOIDCProvider(t))
	cmd := exec.Command(binary, "login", "--no-browser", "--timeout", "1m", issuerAccount)
	cmd.Env = r.proxy.environ()
	output := &tail{}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	address := regexp.MustCompile(`http://\S+user_code=\S+`)
	await(t, 30*time.Second, "the login shows an address with a code", func() bool {
		return address.MatchString(output.String())
	})
	browser := newIssuerBrowser(t, r.redirectURI)
	page := browser.mustPage(http.MethodGet, address.FindString(output.String()), nil)
	for range 2 { // the code that came with the address, and the question whether it is the right one
		page = browser.mustPage(http.MethodPost, page.action, page.fields)
	}
	page.fields.Set("login", "ada")
	page.fields.Set("password", "e2e-only-password")
	page = browser.mustPage(http.MethodPost, page.action, page.fields)
	last := browser.mustDo(http.MethodPost, page.action, page.fields)
	text, err := io.ReadAll(last.Body)
	last.Body.Close()
	if err != nil || last.StatusCode != http.StatusOK {
		t.Fatalf("the last page: %s, %v:\n%.1000s", last.Status, err, text)
	}
	<-ended
	if code := cmd.ProcessState.ExitCode(); code != 0 || !strings.Contains(output.String(), "logged in, generation 1") {
		t.Fatalf("login: exit code %d:\n%s\nthe last page:\n%.1000s", code, output.String(), text)
	}
	r.proxy.start()
	r.proxy.awaitUsable(issuerAccount, 30*time.Second)
	r.proxy.mustServe(issuerAccount)
}
