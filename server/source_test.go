package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/config"
	"ticketproxy/egress"
	"ticketproxy/proxy"
	"ticketproxy/secret"
	"ticketproxy/tokens"
)

// A faultyStore holds a seed's record. Load and Swap return the given errors.
type faultyStore struct{ load, swap error }

func (s faultyStore) Load(context.Context) (tokens.Record, tokens.Version, error) {
	return tokens.Record{Grant: tokens.Grant{RefreshToken: secret.New("r")}}, "1", s.load
}

func (s faultyStore) Swap(context.Context, tokens.Version, tokens.Record) (tokens.Version, error) {
	return "2", s.swap
}

// A faultyIssuer fails each token request with err.
type faultyIssuer struct{ err error }

func (i faultyIssuer) Refresh(context.Context, secret.String) (tokens.Grant, error) {
	return tokens.Grant{}, i.err
}

// TestAppsSeeNoFilesOrProcesses checks that apps are told only the class of a failure.
// The whole error, with files, processes and addresses, is in the status.
func TestAppsSeeNoFilesOrProcesses(t *testing.T) {
	t.Parallel()
	full := fmt.Errorf("writing %s: %w", "/var/lib/ticketproxy/park.json.tmp123", syscall.ENOSPC)
	held := errors.New("record is locked by host-7.4711")
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for name, test := range map[string]struct {
		store  faultyStore
		issuer error
		app    string
		status string
	}{
		"full disk":  {faultyStore{swap: full}, nil, "the state cannot be written", full.Error()},
		"unreadable": {faultyStore{load: held}, nil, "the state cannot be read", held.Error()},
		"issuer without a connection": {
			issuer: &tokens.IssuerError{Class: tokens.NotSent, Err: errors.New("connecting to 10.0.0.5:443: refused")},
			app:    "the issuer cannot be reached",
			status: "10.0.0.5",
		},
		"issuer without an answer": {
			issuer: &tokens.IssuerError{Class: tokens.Ambiguous, Err: errors.New("no answer in time")},
			app:    "the issuer gave no answer",
			status: "no answer in time",
		},
		"issuer that refuses": {
			issuer: &tokens.IssuerError{Class: tokens.Refused, Status: 401, Code: "invalid_client"},
			app:    "the issuer answered 401 invalid_client",
			status: "401 invalid_client",
		},
		"egress proxy": {
			issuer: &tokens.IssuerError{Class: tokens.NotSent, Err: &egress.Error{Proxy: "proxy.test:3128", Err: refused}},
			app:    "the egress proxy proxy.test:3128 cannot be used: connection refused",
			status: "the egress proxy proxy.test:3128 cannot be used: connection refused",
		},
		"egress proxy that wants a password": {
			issuer: &tokens.IssuerError{Class: tokens.NotSent, Err: &egress.Error{Proxy: "proxy.test:3128", Status: 407}},
			app:    "the egress proxy proxy.test:3128 asks for a user name and password (407)",
			status: "user name and password",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := tokens.New(tokens.Config{Account: "park", Store: test.store, Issuer: faultyIssuer{test.issuer}, Holder: "host-7.4711"})
				_, err := source{keeper: r}.Token(t.Context())
				var token *proxy.TokenError
				if !errors.As(err, &token) || token.Detail != "refreshing park: "+test.app {
					t.Errorf("the app is told %v", err)
				}
				s := r.Status()
				if !strings.Contains(s.Error, test.status) {
					t.Errorf("status says %q", s.Error)
				}
				if hint := hintFor(s, config.State{}, config.Upstream{}, time.Now()); strings.HasPrefix(name, "egress") && !strings.Contains(hint, "HTTPS_PROXY") {
					t.Errorf("hint: %q", hint)
				}
			})
		})
	}
}
