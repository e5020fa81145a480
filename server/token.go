package server

import (
	"context"
	"errors"
	"time"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/proxy"
	"ticketproxy/proxy/tokenendpoint"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store"
)

// Bounds of a verb that obtains a token itself. Another process may be refreshing, which an
// issuer can take 30 s for, and may have ended while it did.
const (
	tokenPatience = 75 * time.Second
	tokenDrain    = 10 * time.Second
)

// Token returns an access token of the upstream u, which owns its account, without a running
// instance: it goes through the state by the protocol of all instances. At least the given
// time is left of the token, as far as that can be had. An error may have a hint.
func Token(
	ctx context.Context, c config.Config, u config.Upstream, network Network, least time.Duration,
) (token tokenendpoint.Token, err error) {
	if err := needsKey(c, "token"); err != nil {
		return token, err
	}
	state, err := openState(c, nil)
	if err != nil {
		return token, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	var h tokens.Handout
	advice := loginHint(c.State, u)
	if c.Reader() {
		advice = refresherLogin(c.State, u)
		h, err = readToken(ctx, state, u, least)
	} else {
		h, err = refreshToken(ctx, state, u, client(u, network.outbound(c), nil), least)
	}
	if dead, ok := errors.AsType[*tokens.DeadError](err); ok {
		err = hint.With(dead, advice)
	}
	return tokenendpoint.Token{Token: proxy.Token(h.Token), Expiry: h.Expiry}, err
}

// readToken returns the access token that refreshers have stored.
func readToken(
	ctx context.Context, state store.Backend, u config.Upstream, least time.Duration,
) (tokens.Handout, error) {
	access, err := accessOf(state, u)
	if err != nil {
		return tokens.Handout{}, err
	}
	r := tokens.NewReader(tokens.ReaderConfig{Account: u.Name, Store: access})
	reading, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(reading)
	}()
	defer func() {
		stop()
		<-ended
	}()
	return r.TokenFor(ctx, least)
}

// refreshToken returns the access token of the record, or refreshes it. What it obtains is
// stored before it returns.
func refreshToken(
	ctx context.Context, state store.Backend, u config.Upstream, asked tokens.Issuer, least time.Duration,
) (tokens.Handout, error) {
	account := state.Account(u.Name)
	record, err := tokens.CheckRecord(ctx, account, u.Name)
	if err == nil {
		err = checkGrant(record, u)
	}
	if err != nil {
		return tokens.Handout{}, err
	}
	r := tokens.New(tokens.Config{
		Account:  u.Name,
		Issuer:   asked,
		Store:    account,
		Seed:     seed(u),
		Rotation: tokens.Rotation(u.Dialect.Rotation),
		Grace:    u.Dialect.Grace,
		Holder:   state.Holder(),
		Patience: tokenPatience,
	})
	h, err := r.TokenFor(ctx, least)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), tokenDrain)
	defer cancel()
	return h, errors.Join(err, r.Drain(drain))
}
