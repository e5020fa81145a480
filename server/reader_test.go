package server

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/proxy"
	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store"
)

// An accessBackend has one record for readers.
type accessBackend struct {
	store.Backend
	mu     sync.Mutex
	record tokens.Record
	err    error
}

func (b *accessBackend) set(record tokens.Record, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.record, b.err = record, err
}

func (b *accessBackend) Access(string) tokens.AccessStore { return b }

func (b *accessBackend) LoadAccess(context.Context) (tokens.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.record, b.err
}

func (b *accessBackend) Refuse(context.Context, uint64) error { return nil }

// readerServer returns a server with the role reader whose accounts are in the backend.
func readerServer(t *testing.T, b *accessBackend) (*Server, error) {
	t.Helper()
	c, err := config.Parse(config.Environment{Vars: []string{
		"TICKETPROXY_PROVIDER=ticketpark", "TICKETPROXY_ROLE=reader", "TICKETPROXY_STATE=kubernetes:tickets/state",
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{config: c, log: zap.NewNop(), sources: map[string]proxy.TokenSource{}}
	err = s.addAccounts(b)
	s.use(c)
	return s, err
}

// TestReader tests that a reader serves what is stored, and says that it cannot refresh, and
// who can help.
func TestReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &accessBackend{err: tokens.ErrNone}
		s, err := readerServer(t, b)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.accounts[0].Run(ctx)
		var token *proxy.TokenError
		if _, err := s.sources["ticketpark"].Token(ctx); !errors.As(err, &token) || token.LoginRequired ||
			token.Detail != "refreshing ticketpark: no refresher has stored an access token yet" {
			t.Errorf("the app is told %v", err)
		}
		status := s.statuses()[0]
		if status.Role != "reader" || !strings.Contains(status.Hint, "see that a refresher of kubernetes:tickets/state runs") {
			t.Errorf("status %+v", status)
		}
		b.set(tokens.Record{Generation: 3, Grant: tokens.Grant{
			AccessToken: secret.New("a"), Obtained: time.Now(), Expiry: time.Now().Add(time.Hour),
		}}, nil)
		if got, err := s.sources["ticketpark"].Token(ctx); err != nil || got.Generation != 3 {
			t.Errorf("generation %d, %v", got.Generation, err)
		}
		if status := s.statuses()[0]; status.State != tokens.Ready || status.Hint != "" {
			t.Errorf("status %+v", status)
		}
		b.set(tokens.Record{Generation: 3, Dead: &tokens.Death{Reason: "revoked", At: time.Now()}}, nil)
		time.Sleep(2 * time.Hour)
		const advice = "this is a reader, which cannot log in: where a refresher of kubernetes:tickets/state is configured, " +
			"run ticketproxy login ticketpark, or set TICKETPROXY_REFRESH_TOKEN to a new refresh token"
		if _, err := s.sources["ticketpark"].Token(ctx); !errors.As(err, &token) || !token.LoginRequired ||
			!strings.HasSuffix(token.Detail, advice) {
			t.Errorf("the app is told %v", err)
		}
		if status := s.statuses()[0]; status.State != tokens.Dead || status.Hint != advice {
			t.Errorf("status %+v", status)
		}
	})
}

// TestReaderThatMayNotRead tests that a server which may not read access tokens does not
// start, and that one whose store is down does.
func TestReaderThatMayNotRead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		starts bool
	}{
		{hint.With(errors.New("403"), "allow it"), false},
		{tokens.ErrUnavailable, true},
		{tokens.ErrNone, true},
	} {
		_, err := readerServer(t, &accessBackend{err: tt.err})
		if (err == nil) != tt.starts || err != nil && hint.Of(err) != "allow it" {
			t.Errorf("%v: %v", tt.err, err)
		}
	}
}

// TestReaderHintOfTheStore tests that the store's own hint comes first.
func TestReaderHintOfTheStore(t *testing.T) {
	t.Parallel()
	s := tokens.Status{State: tokens.Degraded, Usable: true, Cause: hint.With(errors.New("403"), "allow it")}
	if got := readerHint(s, config.State{}, config.Upstream{}); got != "allow it" {
		t.Errorf("hint %q", got)
	}
}
