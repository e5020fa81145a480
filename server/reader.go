package server

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"go.uber.org/zap"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store"
)

// addReaders makes the accounts of a reader. It does not look at the state itself.
func (s *Server) addReaders(state store.Backend) error {
	for _, u := range s.config.Upstreams {
		if !u.OwnsAccount() {
			continue
		}
		access, err := accessOf(state, u)
		if err != nil {
			return err
		}
		if err := checkAccess(context.Background(), access); err != nil {
			return fmt.Errorf("opening account %s: %w", u.Name, err)
		}
		advice := refresherLogin(s.config.State, u)
		r := tokens.NewReader(tokens.ReaderConfig{
			Account:  u.Name,
			Store:    access,
			Log:      s.log.Named("tokens").With(zap.String("account", u.Name)),
			DeadHint: advice,
		})
		s.accounts = append(s.accounts, account{
			keeper:   r,
			name:     u.Name,
			upstream: new(atomic.Pointer[config.Upstream]),
		})
		s.sources[u.Name] = source{r, advice}
	}
	return nil
}

// accessOf returns the access tokens of the upstream's account.
func accessOf(state store.Backend, u config.Upstream) (tokens.AccessStore, error) {
	if access := state.Access(u.Name); access != nil {
		return access, nil
	}
	return nil, errors.New("TICKETPROXY_STATE: has no place for the access tokens of readers")
}

// checkAccess returns an error when access tokens cannot be used. It is no error to have none
// yet, nor to have a store that is unavailable or a key file without the identity: both may
// change.
func checkAccess(ctx context.Context, access tokens.AccessStore) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	_, err := access.LoadAccess(ctx)
	if errors.Is(err, tokens.ErrNone) || errors.Is(err, tokens.ErrUnavailable) || errors.Is(err, tokens.ErrDamaged) ||
		errors.Is(err, tokens.ErrSealed) {
		return nil
	}
	return err
}

// refresherLogin says what revives a dead account, to a reader, which cannot do it.
func refresherLogin(state config.State, u config.Upstream) string {
	return "this is a reader, which cannot log in: where a refresher of " + state.String() + " is configured, " +
		loginHint(state, u)
}

// readerHint says what a person can do about an account of a reader when it is not well; ""
// when it is.
func readerHint(s tokens.Status, state config.State, u config.Upstream) string {
	switch {
	case s.State == tokens.Dead:
		return refresherLogin(state, u)
	case hint.Of(s.Cause) != "":
		return hint.Of(s.Cause)
	case s.State == tokens.Unavailable:
		return "this is a reader, which cannot refresh: see that a refresher of " + state.String() +
			" runs, and what its ticketproxy check and status say"
	}
	return ""
}

// reader checks what a reader needs, and that it can have nothing more.
func (k *checklist) reader(ctx context.Context, c config.Config) {
	state, err := openState(c, nil)
	if err != nil {
		k.fails("access tokens", err, "set TICKETPROXY_STATE as the refreshers have it")
		return
	}
	defer state.Close()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if p, ok := state.Backend.(store.AccessProber); ok {
		proved, warnings, err := p.ProbeReader(ctx)
		if err != nil {
			k.fails("access tokens", err, "see that "+c.State.String()+" can be reached")
			return
		}
		k.passed("access tokens", "%s", proved)
		for _, warning := range warnings {
			k.warned("access tokens", warning)
		}
	}
	for _, u := range c.Upstreams {
		if u.OwnsAccount() {
			k.readerAccount(ctx, state, c.State, u)
		}
	}
}

// readerAccount checks an account's access token.
func (k *checklist) readerAccount(ctx context.Context, state store.Backend, c config.State, u config.Upstream) {
	what := "account " + u.Name
	access, err := accessOf(state, u)
	if err != nil {
		k.fails(what, err, "set TICKETPROXY_STATE as the refreshers have it")
		return
	}
	record, err := access.LoadAccess(ctx)
	switch {
	case errors.Is(err, tokens.ErrNone):
		k.fails(what, errors.New("no refresher has stored an access token yet"),
			"see that a refresher of "+c.String()+" runs, and what its ticketproxy check says of readers")
	case err != nil:
		k.fails(what, err, "see that "+c.String()+" can be reached")
	case record.Dead != nil:
		k.fails(what, errors.New(record.Dead.Reason), refresherLogin(c, u))
	default:
		k.passed(what, "generation %d, an access token; refreshers refresh it", record.Generation)
	}
}
