package command

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/sandbox"
	"ticketproxy/server"
)

const tokenListen = "TICKETPROXY_TOKEN_LISTEN=127.0.0.1:8090"

// token runs the verb, and returns its exit code and what it prints.
func (f *fixture) token(environ []string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	p := f.env()
	p.Environ, p.Stdout, p.Stderr = environ, &out, &errs
	code = ExitCode(p.Stderr, Run(context.Background(), p, append([]string{"token"}, args...)))
	return code, out.String(), errs.String()
}

// mustToken fails the test unless the verb prints a token that the API of ticketpark accepts,
// and nothing else.
func (f *fixture) mustToken(environ []string, args ...string) string {
	f.t.Helper()
	code, out, errs := f.token(environ, append(args, "ticketpark")...)
	token, ok := strings.CutSuffix(out, "\n")
	if code != 0 || !ok || token == "" || strings.ContainsAny(token, " \n") || errs != "" {
		f.t.Fatalf("exit %d, %q, stderr %q", code, out, errs)
	}
	if status := f.callAPI(token); status != http.StatusOK {
		f.t.Errorf("the API answers %d to the token", status)
	}
	return token
}

// callAPI sends a token to the API of ticketpark, and returns its status.
func (f *fixture) callAPI(token string) int {
	f.t.Helper()
	req, err := samples()["ticketpark"].request(context.Background(), "http://127.0.0.1:9102")
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, _, err := f.send(req)
	if err != nil {
		f.t.Fatal(err)
	}
	return res.StatusCode
}

func TestTokenOfARunningInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{AccessLifetime: 10 * time.Minute}, tokenListen)
		f.serve()
		f.mustAnswer("ticketpark")
		first := f.mustToken(f.environ)
		if f.mustToken([]string{tokenListen}, "--min", "5m") != first { // an app's environment
			t.Error("another token, while enough is left of the first")
		}
		time.Sleep(3 * time.Minute)
		if f.mustToken(f.environ, "--min=9m") == first {
			t.Error("the same token, though less is left")
		}
		if c := f.sandbox.Ticketpark.Counters(); c.TokenRequests != 2 {
			t.Errorf("%+v", c)
		}
		code, out, errs := f.token(f.environ, "ticketpark", "--output", "json", "--min", "1h")
		var answer map[string]any
		if err := json.Unmarshal([]byte(out), &answer); err != nil || code != 0 || answer["token_type"] != "Bearer" ||
			answer["expires_in"].(float64) < 500 || strings.Contains(out, "refresh") || strings.Count(out, "\n") != 1 {
			t.Errorf("exit %d, %s, %v", code, out, err)
		}
		if !strings.Contains(errs, "--min asks for 1h0m0s") {
			t.Errorf("no word of the shorter time: %q", errs)
		}
		if code, out, _ := f.token(f.environ, "--output", "header", "ticketpark"); code != 0 || !strings.HasPrefix(out, "Authorization: Bearer ") {
			t.Errorf("exit %d, %q", code, out)
		}
		for account, want := range map[string]string{"nothing": "exit 2", "": "name it: ticketproxy token socialboards, or ticketproxy token "} {
			code, out, errs := f.token(f.environ, strings.Fields(account)...)
			if code != 2 || out != "" || !strings.Contains(errs, strings.TrimPrefix(want, "exit 2")) {
				t.Errorf("%q: exit %d, %q, %q", account, code, out, errs)
			}
		}
		if code, _, errs := f.token([]string{tokenListen}, "nothing"); code != 1 || !strings.Contains(errs, "the accounts are: openticket, socialboards, ticketpark") {
			t.Errorf("exit %d, %q", code, errs)
		}
	})
}

func TestTokenByWayOfTheState(t *testing.T) {
	for name, listen := range map[string][]string{"no listener": nil, "nothing listens": {tokenListen}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, sandbox.Options{AccessLifetime: 10 * time.Minute, ReuseDetection: true}, listen...)
				first := f.mustToken(f.environ)
				if f.mustToken(f.environ) != first {
					t.Error("another token, while the stored one serves")
				}
				time.Sleep(3 * time.Minute)
				second := f.mustToken(f.environ, "--min", "8m")
				if second == first {
					t.Error("the same token, though less is left")
				}
				f.serve()
				f.mustAnswer("ticketpark")
				if f.mustToken(f.environ) != second {
					t.Error("the instance does not go on with the verb's token")
				}
				time.Sleep(30 * time.Minute)
				f.mustAnswer("ticketpark")
				if c := f.sandbox.Ticketpark.Counters(); c.Reuses != 0 || c.MaxRedemptions != 1 {
					t.Errorf("%+v", c)
				}
			})
		})
	}
}

// Verbs at the same time, beside an instance without a listener, spend the refresh token once.
func TestTokenAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{AccessLifetime: 10 * time.Minute, ReuseDetection: true})
		f.sandbox.Ticketpark.SetFaults(sandbox.Faults{SlowBeforeCommit: 3 * time.Second})
		f.serve()
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { f.mustToken(f.environ) })
		}
		wg.Wait()
		if c := f.sandbox.Ticketpark.Counters(); c.Redemptions != 1 || c.Reuses != 0 {
			t.Errorf("%+v", c)
		}
	})
}

func TestTokenOfADeadAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{}, tokenListen)
		f.sandbox.Ticketpark.RevokeAll()
		for range 2 { // without an instance, and with one
			code, out, errs := f.token(f.environ, "ticketpark")
			if code != 1 || out != "" || !strings.Contains(errs, "account ticketpark: ") || !strings.Contains(errs, "\nhint: run ticketproxy login ticketpark") {
				t.Errorf("exit %d, %q, %q", code, out, errs)
			}
			if f.stopping == nil {
				f.serve()
			}
		}
	})
}

func TestTokenWithoutARefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newUnseededFixture(t, sandbox.Options{})
		code, out, errs := f.token(f.environ, "ticketpark")
		mustPrint(t, code, 1, errs, "it has no refresh token yet", "\nhint: run ticketproxy login ticketpark")
		if out != "" {
			t.Errorf("%q", out)
		}
	})
}

// What answers at the address may be something else.
func TestTokenOfAnotherProgram(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"404":      func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) },
		"page":     func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) },
		"no token": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{}")) },
		"other problem": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Ticketproxy-Error", "x")
			w.WriteHeader(503)
		},
		"terminal codes": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Ticketproxy-Error", "forbidden")
			w.WriteHeader(403)
			w.Write([]byte(`{"code":"forbidden","detail":"\u001b[2J is not for you"}`))
		},
	} {
		f := &fixture{t: t, network: newNetwork(), output: new(lockedBuffer)}
		l, err := f.network.listen(t.Context(), "tcp", "127.0.0.1:8090")
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: handler}
		go s.Serve(l)
		code, out, errs := f.token([]string{tokenListen}, "park")
		if code != 1 || out != "" || !strings.Contains(errs, "asking the instance at 127.0.0.1:8090 for a token: ") || strings.Contains(errs, "\x1b") {
			t.Errorf("%s: exit %d, %q, %q", name, code, out, errs)
		}
		s.Close()
	}
}

func TestTokenOverAUnixSocket(t *testing.T) {
	t.Parallel()
	f := newFixture(t, sandbox.Options{}, "TICKETPROXY_TOKEN_LISTEN=unix:"+t.TempDir()+"/s")
	real := new(netListener)
	sandboxOnly := f.network.dial
	f.environ = append(f.environ, "TICKETPROXY_ADMIN_LISTEN=off", "TICKETPROXY_SOCIALBOARDS_LISTEN=127.0.0.1:8080")
	listen := func(ctx context.Context, network, address string) (net.Listener, error) {
		if network == "unix" {
			return real.listen(ctx, network, address)
		}
		return f.network.listen(ctx, network, address)
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == "unix" {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		return sandboxOnly(ctx, network, address)
	}
	p := f.env()
	p.Network = server.Network{Listen: listen, Dial: dial}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, p, []string{"serve"}) }()
	var out bytes.Buffer
	asking := *p
	asking.Stdout = &out
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if err = Run(t.Context(), &asking, []string{"token", "ticketpark"}); err == nil {
			break
		}
	}
	cancel()
	if err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%q, %v", out.String(), err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
