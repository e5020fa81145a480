package server

import (
	"context"
	"errors"

	"ticketproxy/egress"
	"ticketproxy/proxy"
	"ticketproxy/tokens"
)

// A source hands a keeper's tokens to the proxy, and puts its errors into words for
// apps.
type source struct {
	keeper    keeper
	loginHint string
}

// Token implements proxy.TokenSource.
func (s source) Token(ctx context.Context) (proxy.Token, error) {
	token, err := s.keeper.Token(ctx)
	return proxy.Token(token), s.forApps(err)
}

// Renew implements proxy.TokenSource.
func (s source) Renew(ctx context.Context, rejected proxy.Token) (proxy.Token, error) {
	token, err := s.keeper.Renew(ctx, tokens.Token(rejected))
	return proxy.Token(token), s.forApps(err)
}

// Refused implements proxy.TokenSource.
func (s source) Refused(token proxy.Token) { s.keeper.Refused(tokens.Token(token)) }

// forApps returns an error whose text apps may see: it names no file or process,
// which log, status and admin listener do.
func (s source) forApps(err error) error {
	if err == nil {
		return nil
	}
	var (
		dead        *tokens.DeadError
		unavailable *tokens.UnavailableError
		out         *egress.Error
	)
	switch {
	case errors.As(err, &dead):
		return &proxy.TokenError{LoginRequired: true, Detail: dead.Error() + "; " + s.loginHint}
	case errors.As(err, &unavailable):
		why := unavailable.Reason()
		if errors.As(err, &out) {
			why = out.Error()
		}
		return &proxy.TokenError{Detail: "refreshing " + unavailable.Account + ": " + why, RetryAfter: unavailable.RetryAfter}
	}
	return err
}
