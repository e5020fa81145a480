package server

import (
	"context"
	"crypto/x509"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ticketproxy/config"
	"ticketproxy/proxy"
	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/issuer"
	"ticketproxy/tokens/store"
)

// An account is one that the server keeps fresh.
type account struct {
	*tokens.Refresher
	name     string
	issuer   *currentIssuer
	upstream *atomic.Pointer[config.Upstream] // its owner, as the files are now
}

// addAccounts makes the accounts, whose issuers cannot be asked yet.
func (s *Server) addAccounts(state store.Backend) error {
	for _, u := range s.config.Upstreams {
		if !u.OwnsAccount() {
			continue
		}
		if err := tokens.CheckRecord(context.Background(), state.Account(u.Name), u.Name); err != nil {
			return err
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
			DeadHint: loginHint(u),
			Observer: s.metrics.Account(u.Name),
		})
		s.accounts = append(s.accounts, account{r, u.Name, asked, new(atomic.Pointer[config.Upstream])})
		s.sources[u.Name] = source{r, loginHint(u)}
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
func (a account) use(u config.Upstream, client *issuer.Client) {
	a.upstream.Store(&u)
	a.issuer.client.Store(client)
	a.Retry()
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
	Close  func() error // closes the state
}

// OpenAccount opens the account of the upstream u, which owns it.
func OpenAccount(c config.Config, u config.Upstream, network Network) (*Account, error) {
	state, err := openState(c.State)
	if err != nil {
		return nil, err
	}
	return &Account{
		Client: client(u, network.outbound(c), nil),
		Seed:   seed(u),
		Store:  state.Account(u.Name),
		Close:  state.Close,
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

// seed returns the account's present seed. A file is read anew when it changes,
// so that a mounted secret revives an account without a restart.
//
// With client_credentials there is no refresh token. A fixed text stands for it, which the
// issuer's client ignores. So replicas share the account as any other.
func seed(u config.Upstream) func() secret.String {
	if u.ClientCredentials() {
		return func() secret.String { return secret.New("client_credentials") }
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
