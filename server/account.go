package server

import (
	"crypto/x509"
	"os"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"ticketproxy/config"
	"ticketproxy/proxy"
	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/issuer"
	"ticketproxy/tokens/store"
)

// refresher makes an account's Refresher. It follows what changes in the upstream's
// files.
func (s *Server) refresher(u *reloadable, state store.Backend, observer tokens.Observer) *tokens.Refresher {
	said := *u.current.Load()
	asked := new(currentIssuer)
	r := tokens.New(tokens.Config{
		Account:  said.Name,
		Issuer:   asked,
		Store:    state.Account(said.Name),
		Seed:     seed(said),
		Rotation: tokens.Rotation(said.Dialect.Rotation),
		Grace:    said.Dialect.Grace,
		Holder:   state.Holder(),
		Log:      s.log.Named("tokens").With(zap.String("account", said.Name)),
		Observer: observer,
	})
	use := func(u config.Upstream) {
		asked.client.Store(client(u, s.outbound, r.Clock))
	}
	use(said)
	u.changed = append(u.changed, use, func(config.Upstream) { r.Retry() })
	return r
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
	return issuer.New(issuer.Config{
		Dialect:      u.Dialect,
		ClientID:     u.ClientID,
		ClientSecret: u.ClientSecret,
		Transport:    issuer.Transport(roots(u), out.proxy, out.dial),
		Clock:        clock,
	})
}

// seed returns the account's seed of now. A file is read anew when it changes,
// so that a mounted secret revives an account without a restart.
func seed(u config.Upstream) func() secret.String {
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
	return &proxy.StubTokenEndpoint{
		Paths: append(slices.Clone(u.Dialect.TokenPaths), u.TokenURL.Path),
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
