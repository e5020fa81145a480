package command

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/sandbox"
)

// answerConsent answers the consent page and follows the redirects, as a person's browser
// does. It returns the last page.
func (f *fixture) answerConsent(address, approve string) (page string, visited *http.Response) {
	f.t.Helper()
	return f.visit(f.openStart(address) + "&approve=" + approve)
}

// openStart opens the login's start address, and returns the address that it redirects to.
func (f *fixture) openStart(address string) string {
	f.t.Helper()
	if f.app.Jar == nil {
		f.app.Jar, _ = cookiejar.New(nil)
	}
	browser := *f.app
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := browser.Get(address)
	if err != nil {
		f.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		f.t.Fatalf("the start address answered %s", res.Status)
	}
	return res.Header.Get("Location")
}

// visit loads a page in the browser that opened the start address.
func (f *fixture) visit(address string) (page string, visited *http.Response) {
	f.t.Helper()
	res, err := f.app.Get(address)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(body), res
}

// allow gives consent.
func (f *fixture) allow(address string) error {
	f.answerConsent(address, "1")
	return nil
}

func TestLoginThroughTheBrowser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newUnseededFixture(t, sandbox.Options{ReuseDetection: true})
		f.serve()
		if res, _, _ := f.ask("openticket"); res.Header.Get("Ticketproxy-Error") != "login_required" {
			t.Fatalf("before the login: %v", res.Status)
		}
		var code string
		status, out := f.login(pipe(), func(address string) error {
			page, res := f.answerConsent(address, "1")
			code = res.Request.URL.Query().Get("code")
			if code == "" || res.StatusCode != http.StatusOK || strings.Contains(page, code) ||
				res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Referrer-Policy") != "no-referrer" ||
				!strings.HasPrefix(res.Header.Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("the page: %v\n%s", res, page)
			}
			return nil
		}, "openticket")
		mustPrint(t, status, 0, out, "account openticket: logged in, generation 1, access token until 2000-01-0", "refresh token until 2000-12-3")
		mustNotShow(t, "login", out, append(f.stored("openticket"), code, f.sandbox.OpenTicket.ClientSecret)...)
		time.Sleep(2 * time.Second)
		f.mustAnswer("openticket")
		if c := f.sandbox.OpenTicket.Counters(); c.TokenRequests != 1 {
			t.Errorf("the running instance asked too: %+v", c)
		}
	})
}

func TestLoginIgnoresForgedCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newUnseededFixture(t, sandbox.Options{})
		f.app.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			return f.network.dial(ctx, network, strings.Replace(address, "localhost:", "[::1]:", 1))
		}
		status, out := f.login(pipe(), func(address string) error {
			u, err := url.Parse(f.openStart(address))
			if err != nil {
				t.Fatal(err)
			}
			state, callback := u.Query().Get("state"), u.Query().Get("redirect_uri")
			if len(state) < 22 || callback != "http://localhost:1234/cb?from=x" {
				t.Errorf("state %q, redirect URI %q", state, callback)
			}
			for _, x := range []struct {
				method, url, host string
				status            int
			}{
				{"GET", "http://127.0.0.1:1234/cb?code=evil&state=wrong", "", 400},
				{"GET", "http://[::1]:1234/cb?code=evil&state=wrong", "", 400},
				{"GET", "http://127.0.0.1:1234/cb?error=access_denied", "", 400},
				{"GET", "http://127.0.0.1:1234/cb?state=" + state, "", 400},
				{"GET", "http://127.0.0.1:1234/cb?code=a&code=b&state=" + state, "", 400},
				{"GET", "http://127.0.0.1:1234/cb?code=a&error=b&state=" + state, "", 400},
				{"GET", "http://127.0.0.1:1234/cb?code=a&state=" + state + "&state=x", "", 400},
				{"GET", "http://127.0.0.1:1234/?code=evil&state=" + state, "", 404},
				{"POST", "http://127.0.0.1:1234/cb?code=evil&state=" + state, "", 405},
				{"HEAD", "http://127.0.0.1:1234/cb?code=evil&state=" + state, "", 405},
				{"GET", "http://127.0.0.1:1234/cb?code=evil&state=" + state, "rebound.example:1234", 421},
			} {
				req, err := http.NewRequestWithContext(t.Context(), x.method, x.url, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = x.host
				res, body, err := f.send(req)
				if err != nil || res.StatusCode != x.status || strings.Contains(body, "evil") {
					t.Errorf("%s %s: %v %v %s", x.method, x.url, res, err, body)
				}
			}
			return f.allow(address)
		}, "openticket", "--redirect-uri", "http://localhost:1234/cb?from=x")
		mustPrint(t, status, 0, out, "logged in, generation 1")
	})
}

func TestLoginRefusedAtTheConsentPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newUnseededFixture(t, sandbox.Options{})
		status, out := f.login(pipe(), func(address string) error {
			f.answerConsent(address, "0")
			return nil
		}, "openticket")
		mustPrint(t, status, 1, out, "logging in account openticket: consent was refused (access_denied)", "\nhint: run ticketproxy login openticket again")

		status, out = f.login(pipe(), func(address string) error {
			u, _ := url.Parse(f.openStart(address))
			_, res := f.visit(u.Query().Get("redirect_uri") + "?error=%1b%5b31mevil&state=" + u.Query().Get("state"))
			if res.StatusCode != http.StatusOK {
				t.Error(res.Status)
			}
			return nil
		}, "openticket")
		mustPrint(t, status, 1, out, "not in RFC 6749")
		if strings.Contains(out, "evil") {
			t.Errorf("the error text of the request is shown:\n%q", out)
		}
	})
}

func TestLoginByPastedAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newUnseededFixture(t, sandbox.Options{})
		// paste logs in with the address of a browser on another machine, after change.
		paste := func(change func(address string) string, args ...string) (int, string) {
			stdin, typed := io.Pipe()
			out := new(lockedBuffer)
			p := f.env()
			p.Stdin, p.Stdout, p.Stderr = stdin, out, out
			done := make(chan int)
			go func() {
				done <- ExitCode(p.Stderr, Run(t.Context(), p, append([]string{"login", "openticket", "--no-browser"}, args...)))
			}()
			synctest.Wait()
			_, address, ok := strings.Cut(out.String(), "\n\n  ")
			if !ok {
				t.Fatal(out.String())
			}
			elsewhere := http.Client{Transport: f.app.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			res, err := elsewhere.Get(strings.TrimSpace(address) + "&approve=1")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			back := res.Header.Get("Location")
			u, err := url.Parse(back)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(typed, "%s\r\n", change(back))
			typed.Close()
			status := <-done
			mustNotShow(t, "login", out.String(), u.Query().Get("code"))
			return status, out.String()
		}
		same := func(s string) string { return s }
		status, out := paste(same)
		mustPrint(t, status, 0, out, "logged in, generation 1")
		status, out = paste(same, "--redirect-uri", "http://localhost:8081/callback")
		mustPrint(t, status, 0, out, "logged in, generation 2")
		status, out = paste(func(s string) string { return strings.Replace(s, "state=", "state=X", 1) })
		mustPrint(t, status, 1, out, "that address is no answer to this login", "\nhint: copy the whole address")
		status, out = paste(func(s string) string { return strings.Replace(s, "code=", "code=X", 1) })
		mustPrint(t, status, 1, out, "the issuer does not accept the request: issuer answered 400 invalid_request", "is registered for the client")
	})
}

func TestLoginAtAGenericIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		l, err := n.listen(t.Context(), "tcp", "127.0.0.1:9100")
		if err != nil {
			t.Fatal(err)
		}
		var form url.Values
		answer := `{"access_token":"access-token-1","token_type":"bearer","expires_in":60}`
		issuer := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.ParseForm()
			form = r.PostForm
			io.WriteString(w, answer)
		})}
		go issuer.Serve(l)
		defer issuer.Close()
		dir := t.TempDir()
		f := &fixture{t: t, network: n, dir: dir, output: new(lockedBuffer), app: &http.Client{Transport: &http.Transport{DialContext: n.dial, DisableKeepAlives: true}}, environ: []string{
			"TICKETPROXY_PROVIDER=generic", "TICKETPROXY_CLIENT_ID=x", "TICKETPROXY_CLIENT_AUTH=none", "TICKETPROXY_STATE=file:" + filepath.Join(dir, "state"),
			"TICKETPROXY_UPSTREAM_URL=http://127.0.0.1:9100", "TICKETPROXY_TOKEN_URL=http://127.0.0.1:9100/token",
			"TICKETPROXY_AUTHORIZE_URL=http://127.0.0.1:9100/authorize",
		}}
		var asked url.Values
		browse := func(address string) error {
			u, err := url.Parse(f.openStart(address))
			if err != nil {
				t.Fatal(err)
			}
			asked = u.Query()
			f.visit(asked.Get("redirect_uri") + "?code=the-code&state=" + asked.Get("state"))
			return nil
		}
		status, out := f.login(pipe(), browse)
		mustPrint(t, status, 1, out, "the issuer gave no refresh token, so the account would end with its access token, until ", "\nhint: nothing was stored")
		verifier := form.Get("code_verifier")
		challenge := sha256.Sum256([]byte(verifier)) // S256 (RFC 7636, section 4.2)
		if len(verifier) < 43 || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(challenge[:]) || asked.Get("code_challenge_method") != "S256" || form.Get("redirect_uri") != asked.Get("redirect_uri") {
			t.Errorf("asked %v, sent %v", asked, form)
		}
		mustNotShow(t, "login", out, verifier, "the-code", "access-token-1")

		answer = `{"access_token":"access-token-2","refresh_token":"refresh-token-2","token_type":"bearer"}`
		status, out = f.login(pipe(), browse)
		mustPrint(t, status, 0, out, "account generic: logged in, generation 1, access token without a stated end, refresh token without a stated end")
		answer = `{"access_token":"access-token-3"}`
		file := filepath.Join(dir, "token")
		if err := os.WriteFile(file, []byte("made-by-hand\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		status, out = f.login(pipe(), nil, "--refresh-token-file", file)
		mustPrint(t, status, 0, out, "account generic: logged in, generation 2")
		if kept := f.stored("generic"); !slices.Contains(kept, "made-by-hand") {
			t.Errorf("the record holds %v", kept)
		}
		answer = `{"access_token":"access-token-4","refresh_token":"refresh-token-4"}`
		status, out = f.login(pipe("a-password"), nil, "--username", "me")
		mustPrint(t, status, 0, out, "account generic: logged in, generation 3")
		if form.Get("username") != "me" || form.Get("password") != "a-password" {
			t.Errorf("sent %v", form)
		}
	})
}

// TestLoginAddressInArguments tests that users who read the browser's arguments cannot answer
// the login: the address in them holds no state, and works in one browser only.
func TestLoginAddressInArguments(t *testing.T) {
	visit := func(t *testing.T, visitor *fixture, address string) int {
		res, err := visitor.app.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	for name, test := range map[string]struct {
		browse       func(t *testing.T, f, attacker *fixture, address string)
		status       int
		want         string
		tokenRequest int
	}{
		"the attacker is second": {func(t *testing.T, f, attacker *fixture, address string) {
			if strings.Contains(address, "state") || strings.Contains(address, "redirect_uri") {
				t.Errorf("the browser is started with %s", address)
			}
			f.openStart(address)
			if got := visit(t, attacker, address); got != http.StatusForbidden {
				t.Errorf("the attacker's request: %d", got)
			}
		}, 1, "two browsers opened the address of this login", 0},
		"the attacker is first, and answers at once": {func(t *testing.T, f, attacker *fixture, address string) {
			attacker.answerConsent(address, "1")
			time.Sleep(5*time.Second - time.Second)
			if got := visit(t, f, address); got != http.StatusForbidden {
				t.Errorf("the person's request: %d", got)
			}
		}, 1, "another user of this machine may have opened it", 0},
		"the answer lacks the cookie": {func(t *testing.T, f, attacker *fixture, address string) {
			u, err := url.Parse(f.openStart(address))
			if err != nil {
				t.Fatal(err)
			}
			back := u.Query().Get("redirect_uri") + "?code=evil&state=" + u.Query().Get("state")
			if got := visit(t, attacker, back); got != http.StatusBadRequest {
				t.Errorf("an answer without the cookie: %d", got)
			}
			f.answerConsent(address, "1") // opens the start address again, which the same browser may
		}, 0, "logged in, generation 1", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newUnseededFixture(t, sandbox.Options{})
				attacker := &fixture{t: t, app: &http.Client{Transport: f.app.Transport}}
				status, out := f.login(pipe(), func(address string) error {
					test.browse(t, f, attacker, address)
					return nil
				}, "openticket")
				mustPrint(t, status, test.status, out, test.want)
				if c := f.sandbox.OpenTicket.Counters(); c.TokenRequests != test.tokenRequest {
					t.Errorf("%d token requests", c.TokenRequests)
				}
			})
		})
	}
}
