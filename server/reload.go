package server

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ticketproxy/config"
	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/issuer"
)

// reload reads the files again. The environment stays as it was at the start, so
// only what files hold can be new: client secrets, certificates and seeds. When
// one of them is wrong, all stays as it was, and status says so.
func (s *Server) reload() {
	c, err := s.options.Reload()
	if err != nil {
		s.log.Error("reading the files again: going on with what they held before", zap.Error(err))
		warning := "the files could not be read again at " + time.Now().UTC().Format(time.RFC3339) +
			", and what they held before is in use: " + err.Error()
		s.reloadWarning.Store(&warning)
		return
	}
	for _, u := range c.Upstreams {
		s.upstreams[u.Name].reload(u)
	}
	s.reloadWarning.Store(nil)
	s.lookAtSecrets(c)
	s.log.Info("the files were read again")
}

// A reloadable is the part of an upstream that its files can change.
type reloadable struct {
	current atomic.Pointer[config.Upstream]
	changed []func(config.Upstream) // called with each change
}

func (r *reloadable) reload(u config.Upstream) {
	r.current.Store(&u)
	for _, f := range r.changed {
		f(u)
	}
}

// A currentIssuer asks the issuer with the client's present credentials. A
// request that is under way keeps those with which it began.
type currentIssuer struct{ client atomic.Pointer[issuer.Client] }

// Refresh implements tokens.Issuer.
func (i *currentIssuer) Refresh(ctx context.Context, refreshToken secret.String) (tokens.Grant, error) {
	return i.client.Load().Refresh(ctx, refreshToken)
}
