package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/proxy"
	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/issuer"
	"ticketproxy/tokens/store"
)

// A keeper keeps an account's access token: a Refresher, or a Reader.
type keeper interface {
	Token(context.Context) (tokens.Token, error)
	Renew(context.Context, tokens.Token) (tokens.Token, error)
	Refused(tokens.Token)
	TokenFor(context.Context, time.Duration) (tokens.Handout, error)
	Replace(context.Context, secret.String, time.Duration) (tokens.Handout, error)
	Status() tokens.Status
	Run(context.Context)
	Drain(context.Context) error
}

// An account is one whose access token the server keeps.
type account struct {
	keeper
	refresher *tokens.Refresher // the keeper; nil in a reader
	name      string
	issuer    *currentIssuer                   // nil in a reader
	upstream  *atomic.Pointer[config.Upstream] // its owner, as the files are now
}

// addAccounts makes the accounts, whose issuers cannot be asked yet.
func (s *Server) addAccounts(state store.Backend) error {
	if s.config.Reader() {
		return s.addReaders(state)
	}
	for _, u := range s.config.Upstreams {
		if !u.OwnsAccount() {
			continue
		}
		record, err := tokens.CheckRecord(context.Background(), state.Account(u.Name), u.Name)
		if err != nil && !errors.Is(err, tokens.ErrSealed) { // the key file may yet be changed
			return err
		}
		if err := checkGrant(record, u); err != nil {
			return fmt.Errorf("opening account %s: %w", u.Name, err)
		}
		asked := new(currentIssuer)
		r := tokens.New(tokens.Config{
			Account:  u.Name,
			Issuer:   asked,
			Store:    state.Account(u.Name),
			Seed:     seed(u),
			Rotation: tokens.Rotation(u.Dialect.Rotation),
			Grace:    u.Dialect.Grace,
			Holder:   state.Holder(),
			Log:      s.log.Named("tokens").With(zap.String("account", u.Name)),
			DeadHint: loginHint(s.config.State, u),
			Observer: s.metrics.Account(u.Name),
		})
		s.accounts = append(s.accounts, account{r, r, u.Name, asked, new(atomic.Pointer[config.Upstream])})
		s.sources[u.Name] = source{r, loginHint(s.config.State, u)}
	}
	return nil
}

// checkGrant refuses a record that was obtained by another grant than the upstream's. The
// refresh token of a person's login would be replaced, or the client's own access token
// used in a person's place.
func checkGrant(record tokens.Record, u config.Upstream) error {
	if record.Grant.RefreshToken.IsZero() {
		return nil
	}
	const advice = "give the account another name; or log in again, or remove its record from the state"
	switch own := record.Grant.RefreshToken.Equal(secret.New(clientCredentials)); {
	case u.ClientCredentials() && !own:
		return hint.With(errors.New("the state has a refresh token, which GRANT=client_credentials would replace"), advice)
	case own && !u.ClientCredentials():
		return hint.With(errors.New("the state has a grant of client_credentials, and GRANT is another one now"), advice)
	}
	return nil
}

// account returns the account of that name.
func (s *Server) account(name string) (account, bool) {
	i := slices.IndexFunc(s.accounts, func(a account) bool { return a.name == name })
	if i < 0 {
		return account{}, false
	}
	return s.accounts[i], true
}

// use has the account go on as the upstream u says. If the issuer refused the client
// before, it is asked again at once.
func (a account) use(u config.Upstream, out outbound) {
	a.upstream.Store(&u)
	if a.refresher != nil {
		a.issuer.client.Store(client(u, out, a.refresher.Clock))
		a.refresher.Retry()
	}
}

// A currentIssuer asks the issuer with the client's present credentials. A
// request that is under way keeps those with which it began.
type currentIssuer struct{ client atomic.Pointer[issuer.Client] }

// Refresh implements tokens.Issuer.
func (i *currentIssuer) Refresh(ctx context.Context, refreshToken secret.String) (tokens.Grant, error) {
	return i.client.Load().Refresh(ctx, refreshToken)
}

// An Account is one account, opened for a verb that works on it without serving:
// its issuer, and its record.
type Account struct {
	Client *issuer.Client
	Seed   func() secret.String // the operator's refresh token, as it is now
	Store  tokens.Store
	// Probe proves that records can be stored, as Check does it, and leaves the state as it is.
	// The error has a hint.
	Probe func(context.Context) error
	// Warning says what becomes of the account's record, as it is now, when the account is
	// begun anew; nil is nothing that a person should know. The error has a hint.
	Warning func(tokens.Record) error
	Close   func() error // closes the state
}

// OpenAccount opens the account of the upstream u, which owns it.
func OpenAccount(c config.Config, u config.Upstream, network Network) (*Account, error) {
	state, err := openState(c, nil)
	if err != nil {
		return nil, err
	}
	return &Account{
		Client: client(u, network.outbound(c), nil),
		Seed:   seed(u),
		Store:  state.Account(u.Name),
		Probe: func(ctx context.Context) error {
			_, err := state.probe(ctx, c.State)
			return err
		},
		Warning: func(r tokens.Record) error { return state.recipientWarning(u.Name, r.Recipient) },
		Close:   state.Close,
	}, nil
}

// client makes the client of an account's issuer. A clock is told the issuer's time.
func client(u config.Upstream, out outbound, clock func(time.Time)) *issuer.Client {
	issuerURL := ""
	if u.IssuerURL != nil {
		issuerURL = u.IssuerURL.String()
	}
	return issuer.New(issuer.Config{
		Dialect:           u.Dialect,
		ClientID:          u.ClientID,
		ClientSecret:      u.ClientSecret,
		Scope:             u.Scope,
		IssuerURL:         issuerURL,
		AnyClientAuth:     u.AnyClientAuth,
		ClientCredentials: u.ClientCredentials(),
		Params:            u.Params(),
		Headers:           u.Headers(),
		Transport:         issuer.Transport(roots(u), out.proxy, out.dial),
		Clock:             clock,
	})
}

// clientCredentials stands for the refresh token of an account with that grant.
const clientCredentials = "client_credentials"

// seed returns the account's present seed. A file is read anew when it changes,
// so that a mounted secret revives an account without a restart.
//
// With client_credentials there is no refresh token. A fixed text stands for it, which the
// issuer's client ignores. So replicas share the account as any other.
func seed(u config.Upstream) func() secret.String {
	if u.ClientCredentials() {
		return func() secret.String { return secret.New(clientCredentials) }
	}
	if u.SeedFile == "" {
		return func() secret.String { return u.RefreshToken }
	}
	var mu sync.Mutex
	current, changed := u.RefreshToken, time.Time{}
	return func() secret.String {
		mu.Lock()
		defer mu.Unlock()
		info, err := os.Stat(u.SeedFile)
		if err != nil || info.ModTime().Equal(changed) {
			return current
		}
		changed = info.ModTime()
		if next := config.ReadSeed(u.SeedFile); !next.IsZero() {
			current = next
		}
		return current
	}
}

// stubTokenEndpoint answers at the provider's token paths.
func stubTokenEndpoint(u config.Upstream) *proxy.StubTokenEndpoint {
	paths := slices.Clone(u.Dialect.TokenPaths)
	if u.TokenURL != nil {
		paths = append(paths, u.TokenURL.Path)
	}
	return &proxy.StubTokenEndpoint{
		Paths: paths,
		Body:  []byte(u.Dialect.StubAnswer),
	}
}

// roots returns what an upstream's TLS trusts: nil for the system's alone.
func roots(u config.Upstream) *x509.CertPool {
	if len(u.CAs) == 0 {
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	for _, c := range u.CAs {
		pool.AddCert(c)
	}
	return pool
}
