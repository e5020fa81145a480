package sandbox_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"ticketproxy/sandbox"
)

// TestFaults tests each fault, and whether it spends the refresh token.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name    string
		faults  sandbox.Faults
		aborted bool
		status  int
		header  map[string]string
		spent   bool
	}{
		{"drop before read", sandbox.Faults{DropBeforeRead: 1}, true, 200, nil, false},
		{"throttle", sandbox.Faults{Throttle: 1, RetryAfter: 7}, false, 429, map[string]string{"Retry-After": "7"}, false},
		{"throttle without Retry-After", sandbox.Faults{Throttle: 1}, false, 429, map[string]string{"Retry-After": ""}, false},
		{"unavailable", sandbox.Faults{Unavailable: 1, RetryAfter: 7}, false, 503, map[string]string{"Retry-After": "7"}, false},
		{"redirect", sandbox.Faults{Redirect: 1}, false, 307, map[string]string{"Location": "/_sandbox/redirected"}, false},
		{"html", sandbox.Faults{HTML: 1}, false, 200, map[string]string{"Content-Type": "text/html; charset=utf-8"}, false},
		{"drop after commit", sandbox.Faults{DropAfterCommit: 1}, true, 200, nil, true},
		{"half body", sandbox.Faults{HalfBody: 1}, true, 200, nil, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			forEachProvider(t, sandbox.Options{Rotate: true}, func(t *testing.T, p *sandbox.Provider) {
				p.SetFaults(x.faults)
				seed := p.Seed()
				w, aborted := serve(p, refreshCall(p, seed))
				if aborted != x.aborted || w.Code != x.status {
					t.Fatalf("got %d, aborted %v", w.Code, aborted)
				}
				for name, value := range x.header {
					wantHeader(t, w, name, value)
				}
				if c := p.Counters(); c.FaultsInjected != 1 || c.TokenRequests != 1 || c.Redemptions != toInt(x.spent) {
					t.Errorf("counters: %+v", c)
				}
				if x.spent {
					mustRefuseRefresh(t, p, seed)
					seed = p.Seed()
				}
				refresh(t, p, seed) // the fault is over after one request
			})
		})
	}
}

func toInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestFaultUntilSwitchedOff(t *testing.T) {
	t.Parallel()
	forEachProvider(t, sandbox.Options{}, func(t *testing.T, p *sandbox.Provider) {
		p.SetFaults(sandbox.Faults{Throttle: sandbox.UntilOff})
		seed := p.Seed()
		for range 5 {
			answerOf(t, p, http.StatusTooManyRequests, refreshCall(p, seed))
		}
		p.SetFaults(sandbox.Faults{})
		refresh(t, p, seed)
	})
}

// A refused request commits nothing and does not use up the fault.
func TestDropAfterCommitWaitsForAGrant(t *testing.T) {
	t.Parallel()
	forEachProvider(t, sandbox.Options{}, func(t *testing.T, p *sandbox.Provider) {
		p.SetFaults(sandbox.Faults{DropAfterCommit: 1})
		mustRefuseRefresh(t, p, "unknown")
		if _, aborted := serve(p, refreshCall(p, p.Seed())); !aborted {
			t.Error("the granted answer was not dropped")
		}
	})
}

func TestAPIUnauthorized(t *testing.T) {
	t.Parallel()
	forEachProvider(t, sandbox.Options{}, func(t *testing.T, p *sandbox.Provider) {
		token := newAccessToken(t, p)
		p.SetFaults(sandbox.Faults{APIUnauthorized: 2})
		mustReject(t, p, token)
		mustReject(t, p, token)
		mustAccept(t, p, token)
		if c := p.Counters(); c.APIRequests != 3 || c.APIUnauthorized != 2 {
			t.Errorf("counters: %+v", c)
		}
	})
}

func TestSlow(t *testing.T) {
	t.Parallel()
	for i := range 3 {
		synctest.Test(t, func(t *testing.T) {
			p := sandbox.New(sandbox.Options{Rotate: true}).Providers()[i]
			p.SetFaults(sandbox.Faults{SlowBeforeCommit: 3 * time.Second, SlowAfterCommit: 4 * time.Second})
			start := time.Now()
			refresh(t, p, p.Seed())
			if took := time.Since(start); took != 7*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// A client that disconnects before the commit loses nothing. After it, the client loses
// the token.
func TestClientDisconnectsFromASlowIssuer(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		timeout time.Duration
		spent   bool
	}{{time.Second, false}, {5 * time.Second, true}} {
		synctest.Test(t, func(t *testing.T) {
			p := sandbox.New(sandbox.Options{}).Ticketpark
			p.SetFaults(sandbox.Faults{SlowBeforeCommit: 3 * time.Second, SlowAfterCommit: 4 * time.Second})
			client := dial(t, p)
			seed := p.Seed()
			ctx, cancel := context.WithTimeout(t.Context(), x.timeout)
			defer cancel()
			if _, err := post(ctx, client, p, seed); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %v", err)
			}
			time.Sleep(time.Minute)
			if c := p.Counters(); c.Redemptions != toInt(x.spent) {
				t.Errorf("after %v: counters: %+v", x.timeout, c)
			}
		})
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	p := sandbox.New(sandbox.Options{}).Ticketpark
	for _, path := range []string{p.TokenPath, "/events/", "/_sandbox/seed"} {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest("POST", path, io.LimitReader(zeros{}, 8<<20+1)))
		if w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: a body over the limit got %d", path, w.Code)
		}
		func() {
			defer func() {
				if recover() != http.ErrAbortHandler {
					t.Errorf("%s: an incomplete body was answered", path)
				}
			}()
			p.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", path, iotest.ErrReader(io.ErrUnexpectedEOF)))
		}()
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// TestDropsOverAConnection tests what a client sees of a dropped connection.
func TestDropsOverAConnection(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name   string
		faults sandbox.Faults
		want   error
		spent  bool
	}{
		{"before read", sandbox.Faults{DropBeforeRead: 1}, io.EOF, false},
		{"after commit", sandbox.Faults{DropAfterCommit: 1}, io.EOF, true},
		{"half body", sandbox.Faults{HalfBody: 1}, io.ErrUnexpectedEOF, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := sandbox.New(sandbox.Options{}).OpenTicket
				client := dial(t, p)
				p.SetFaults(x.faults)
				body, err := post(t.Context(), client, p, p.Seed())
				if !errors.Is(err, x.want) {
					t.Errorf("got %q, %v; want %v", body, err, x.want)
				}
				if x.want == io.ErrUnexpectedEOF && !strings.HasPrefix(body, `{"token_type"`) {
					t.Errorf("half a body is %q", body)
				}
				if c := p.Counters(); c.Redemptions != toInt(x.spent) {
					t.Errorf("counters: %+v", c)
				}
			})
		})
	}
}

func TestFollowedRedirectIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := sandbox.New(sandbox.Options{}).SocialBoards
		client := dial(t, p)
		p.SetFaults(sandbox.Faults{Redirect: 1})
		if _, err := post(t.Context(), client, p, p.Seed()); err != nil {
			t.Fatal(err)
		}
		if c := p.Counters(); c.RedirectsFollowed != 1 || c.Redemptions != 0 {
			t.Errorf("counters: %+v", c)
		}
	})
}

// post requests a refresh and returns the part of the body that arrived.
func post(ctx context.Context, client *http.Client, p *sandbox.Provider, token string) (string, error) {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {p.ClientID}, "client_secret": {p.ClientSecret}}
	req, err := http.NewRequestWithContext(ctx, "POST", "http://"+p.Name+".test"+p.TokenPath, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", formType)
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// dial serves p on a listener in memory, inside the synctest bubble, until the test ends.
func dial(t *testing.T, p *sandbox.Provider) *http.Client {
	t.Helper()
	l := &pipeListener{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: p}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ends with ErrServerClosed
	}()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		l.conns <- far
		return near, nil
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		<-done
	})
	return &http.Client{Transport: transport}
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
