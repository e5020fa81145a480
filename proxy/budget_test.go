package proxy

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/upstream"
	"ticketproxy/secret"
)

type fixed struct{}

func (fixed) Token(context.Context) (Token, error) {
	return Token{AccessToken: secret.New("first"), Generation: 1}, nil
}

func (fixed) Renew(context.Context, Token) (Token, error) {
	return Token{AccessToken: secret.New("second"), Generation: 2}, nil
}

func (fixed) Refused(Token) {}

// TestReplayBudgetIsReleased checks that a request releases what its body took of the
// budget, however it ends, and that a request without budget is not replayed.
func TestReplayBudgetIsReleased(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/read":
			io.Copy(io.Discard, r.Body)
		case "/cut":
			panic(http.ErrAbortHandler)
		}
		if r.Header.Get("Authorization") == "Bearer first" || r.URL.Path == "/never" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer api.Close()
	to, err := url.Parse(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := upstream.New(upstream.Config{})
	defer transport.CloseIdleConnections()
	budget := NewReplayBudget()
	upstream := UpstreamConfig{URL: to, Source: fixed{}, Transport: transport}
	h := NewHandler(HandlerConfig{Guard: new(inbound.Guard), Budget: budget}, upstream)
	app := httptest.NewServer(h)

	post := func(listener *httptest.Server, path string, size int) int {
		res, err := listener.Client().Post(listener.URL+path, "", io.MultiReader(bytes.NewReader(make([]byte, size))))
		if err != nil { // an answer before the body's end closes the connection under the client's write
			return 0
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		return res.StatusCode
	}
	var all sync.WaitGroup
	for _, path := range []string{"/read", "/", "/never", "/cut"} {
		for _, size := range []int{0, 1, 200_000, replayLimit, replayLimit + 1} {
			for range 2 {
				all.Go(func() { post(app, path, size) })
			}
		}
	}
	all.Wait()
	app.Close() // the last handlers have returned
	if !budget.TryAcquire(replayBudget) {
		t.Fatal("some of the budget was not released")
	}

	// The budget is used up, for this listener and for another one.
	other := httptest.NewServer(NewHandler(HandlerConfig{Guard: new(inbound.Guard), Budget: budget}, upstream))
	defer other.Close()
	app = httptest.NewServer(h)
	defer app.Close()
	for _, listener := range []*httptest.Server{app, other} {
		if got := post(listener, "/read", 1000); got != http.StatusUnauthorized {
			t.Errorf("without a budget: got %d, want 401", got)
		}
	}
	budget.Release(replayBudget)
	if got := post(other, "/read", 1000); got != http.StatusOK {
		t.Errorf("with a budget: got %d, want 200", got)
	}
	if !budget.TryAcquire(replayBudget) {
		t.Error("some of the budget was not released")
	}
}
