package command

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"ticketproxy/sandbox"
)

// newUnseededFixture returns a fixture whose accounts have no refresh token yet.
func newUnseededFixture(t *testing.T, o sandbox.Options, more ...string) *fixture {
	f := newFixture(t, o, more...)
	f.environ = slices.DeleteFunc(f.environ, func(pair string) bool { return strings.Contains(pair, "_REFRESH_TOKEN=") })
	return f
}

// login runs the verb with an input and a browser, and returns its exit code and output.
func (f *fixture) login(stdin io.Reader, browse func(address string) error, args ...string) (int, string) {
	f.t.Helper()
	out := new(lockedBuffer)
	p := f.env()
	p.Stdin, p.Stdout, p.Stderr, p.Browse = stdin, out, out, browse
	code := ExitCode(p.Stderr, Run(f.t.Context(), p, append([]string{"login"}, args...)))
	return code, out.String()
}

// mustPrint fails the test unless code is want and out contains each text.
func mustPrint(t *testing.T, code, want int, out string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if code != want || !strings.Contains(out, text) {
			t.Fatalf("exit %d, wanted %d and %q:\n%s", code, want, text, out)
		}
	}
}

func pipe(lines ...string) io.Reader { return strings.NewReader(strings.Join(lines, "\n") + "\n") }

func TestLoginWithPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newUnseededFixture(t, sandbox.Options{})
		p := f.sandbox.Ticketpark
		for _, args := range [][]string{{"ticketpark"}, {"--username", p.Username, "ticketpark"}, {"ticketpark", "--username=" + p.Username}} {
			input := []string{p.Password}
			if len(args) == 1 {
				input = []string{p.Username, p.Password}
			}
			status, out := f.login(pipe(input...), nil, args...)
			mustPrint(t, status, 0, out, "account ticketpark: logged in, generation ")
			mustNotShow(t, "login", out, append(f.stored("ticketpark"), p.Password, p.ClientSecret)...)
		}
		f.serve()
		f.mustAnswer("ticketpark")

		status, out := f.login(pipe(p.Username, "wrong-"+p.Password), nil, "ticketpark")
		mustPrint(t, status, 1, out, "user name or password is wrong: issuer answered 400 invalid_grant", "\nhint: try them on the website of ticketpark")
		mustNotShow(t, "login", out, p.Password)
		status, out = f.login(pipe(p.Username), nil, "ticketpark")
		mustPrint(t, status, 1, out, "asking for the password: the input has ended", "\nhint: ")
		status, out = f.login(pipe(p.Username, ""), nil, "ticketpark")
		mustPrint(t, status, 1, out, "empty", "\nhint: ")
		f.mustAnswer("ticketpark")
	})
}

func TestLoginWithRefreshToken(t *testing.T) {
	for _, rotate := range []bool{false, true} {
		t.Run(fmt.Sprintf("rotate=%v", rotate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newUnseededFixture(t, sandbox.Options{Rotate: rotate})
				token := f.sandbox.SocialBoards.Seed()
				status, out := f.login(pipe("  "+token), nil, "socialboards")
				mustPrint(t, status, 0, out, "account socialboards: logged in, generation 1, access token until ", "refresh token without a stated end")
				mustNotShow(t, "login", out, append(f.stored("socialboards"), token)...)
				if kept := slices.Contains(f.stored("socialboards"), token); !kept {
					t.Error("the pasted token is kept neither as the refresh token nor as its fallback")
				}
				f.serve()
				f.mustAnswer("socialboards")

				asked := f.sandbox.SocialBoards.Counters().TokenRequests
				status, out = f.login(pipe(token), nil, "socialboards")
				mustPrint(t, status, 1, out, "has this refresh token already", "\nhint: ")
				status, out = f.login(pipe("“"+token), nil, "socialboards")
				mustPrint(t, status, 1, out, "that is no refresh token", "\nhint: copy it again")
				if now := f.sandbox.SocialBoards.Counters().TokenRequests; now != asked {
					t.Errorf("%d more token requests", now-asked)
				}
				status, out = f.login(pipe("not"+token), nil, "socialboards")
				mustPrint(t, status, 1, out, "the issuer does not know this refresh token: issuer answered 400 invalid_grant", "\nhint: copy the whole token")
				mustNotShow(t, "login", out, token)

				file := filepath.Join(f.dir, "token")
				if err := os.WriteFile(file, []byte(f.sandbox.SocialBoards.Seed()+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				status, out = f.login(pipe(), nil, "socialboards", "--refresh-token-file", file)
				mustPrint(t, status, 0, out, "account socialboards: logged in")
				f.mustAnswer("socialboards")
			})
		})
	}
}

func TestLoginWrongClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newUnseededFixture(t, sandbox.Options{})
		for i, pair := range f.environ {
			if strings.Contains(pair, "_CLIENT_SECRET=") {
				f.environ[i] = pair + "x"
			}
		}
		status, out := f.login(pipe(), f.allow, "openticket")
		mustPrint(t, status, 1, out, "the issuer does not accept this client: issuer answered 401 invalid_client", "\nhint: check TICKETPROXY_OPENTICKET_CLIENT_ID, TICKETPROXY_OPENTICKET_CLIENT_SECRET and TICKETPROXY_OPENTICKET_CLIENT_AUTH")
		f.sandbox.Ticketpark.SetFaults(sandbox.Faults{Throttle: 1, RetryAfter: 20})
		status, out = f.login(pipe("a", "b"), nil, "ticketpark")
		mustPrint(t, status, 1, out, "asks for silence", "again in 20s")
		f.sandbox.Ticketpark.SetFaults(sandbox.Faults{DropAfterCommit: 1})
		status, out = f.login(pipe("a", "b"), nil, "ticketpark")
		mustPrint(t, status, 1, out, "\nhint: ")
	})
}

func TestLoginCommandLines(t *testing.T) {
	t.Parallel()
	one := []string{"TICKETPROXY_PROVIDER=openticket", "TICKETPROXY_CLIENT_ID=x", "TICKETPROXY_CLIENT_SECRET=y"}
	none := []string{"TICKETPROXY_PROVIDER=socialboards", "TICKETPROXY_CLIENT_ID=x", "TICKETPROXY_ROTATION=none", "TICKETPROXY_STATE=memory:"}
	several := []string{
		"TICKETPROXY_UPSTREAMS=shop,park,auth", "TICKETPROXY_SHOP_PROVIDER=openticket", "TICKETPROXY_SHOP_CLIENT_ID=x", "TICKETPROXY_SHOP_CLIENT_SECRET=y",
		"TICKETPROXY_PARK_PROVIDER=ticketpark", "TICKETPROXY_PARK_CLIENT_ID=x", "TICKETPROXY_PARK_CLIENT_SECRET=y", "TICKETPROXY_PARK_LISTEN=127.0.0.1:8081",
		"TICKETPROXY_AUTH_ACCOUNT=shop", "TICKETPROXY_AUTH_UPSTREAM_URL=https://auth.openticket.tech", "TICKETPROXY_AUTH_LISTEN=127.0.0.1:8082",
	}
	for _, x := range []struct {
		environ    []string
		args, want string
	}{
		{several, "", "name it: ticketproxy login shop, or ticketproxy login park"},
		{several, "shopp", "hint: the accounts are: shop, park"},
		{several, "auth --username me", "auth uses the account of shop\n"},
		{several, "park --no-browser", "--no-browser has no meaning here: account park logs in with user name and password"},
		{several, "shop --username me", "--username has no meaning here: account shop logs in through the browser"},
		{several, "shop park", `"park" was given too`},
		{one, "--timeout 0s", "--timeout is not longer than zero"},
		{one, "--timeout soon", "hint: ticketproxy login --help"},
		{one, "--callback-port 70000", "no port"},
		{one, "--callback-port 1 --redirect-uri http://localhost:1/", "leave out --callback-port"},
		{one, "--redirect-uri https://shop.example.com/callback", "hint: add --no-browser"},
		{one, "--redirect-uri ftp://localhost/", "is no redirect URI"},
		{one, "--redirect-uri http://localhost:1/#x", "is no redirect URI"},
		{one, "--password x", "hint: ticketproxy login --help"},
		{append(one, "TICKETPROXY_PASSWORD=hunter2"), "", "TICKETPROXY_PASSWORD: "},
		{none, "", "the state is in memory"},
	} {
		t.Run(x.args, func(t *testing.T) {
			t.Parallel()
			var out lockedBuffer
			p := &Env{Stdin: pipe(), Stdout: &out, Stderr: &out, Environ: append(x.environ, "XDG_STATE_HOME="+t.TempDir())}
			code := ExitCode(p.Stderr, Run(t.Context(), p, append([]string{"login"}, strings.Fields(x.args)...)))
			if code != 2 || !strings.Contains(out.String(), x.want) || !strings.Contains(out.String(), "\nhint: ") || strings.Contains(out.String(), "hunter2") {
				t.Errorf("exit %d:\n%s", code, out.String())
			}
		})
	}
}
