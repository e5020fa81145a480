package server

import (
	"context"
	"time"

	"ticketproxy/process"
	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/tokenendpoint"
	"ticketproxy/secret"
	"ticketproxy/tokens"
)

// tokenConnections bounds the connections of the listener that hands out access tokens.
const tokenConnections = 128

// limitsOfApps returns what is left for the listeners for apps beside the one that hands out
// tokens.
func (s *Server) limitsOfApps() process.Limits {
	limits := s.options.Limits
	if s.config.TokenListen.Network != "" {
		limits.Files -= min(tokenConnections, limits.Files/4)
	}
	return limits
}

// addTokens makes the listener that hands out access tokens.
func (s *Server) addTokens() {
	s.tokens = &listener{
		address:  s.config.TokenListen,
		variable: "TICKETPROXY_TOKEN_LISTEN",
		mode:     0o600,
		serves:   "access tokens",
		tls:      s.tlsOf(s.config.TokenListen),
	}
	accounts := map[string]tokenendpoint.Source{}
	for _, a := range s.accounts {
		accounts[a.name] = s.sources[a.name].(source)
	}
	log := s.log.Named("tokenendpoint")
	c := tokenendpoint.Config{
		Guard:    guardOf(s.config, s.tokens),
		Accounts: accounts,
		Audit:    s.audit,
	}
	if s.callers != nil {
		c.Authorizer = s.callers.gate
	}
	limiter := inbound.NewConnLimiter(tokenConnections, adminHeaders, log)
	s.tokens.server = inbound.NewServer(tokenendpoint.New(c), limiter, log)
	s.recordRefused(s.tokens, "token")
}

// TokenFor implements tokenendpoint.Source.
func (s source) TokenFor(ctx context.Context, least time.Duration) (tokenendpoint.Token, error) {
	return s.handOut(s.keeper.TokenFor(ctx, least))
}

// Replace implements tokenendpoint.Source.
func (s source) Replace(ctx context.Context, refused secret.String, least time.Duration) (tokenendpoint.Token, error) {
	return s.handOut(s.keeper.Replace(ctx, refused, least))
}

func (s source) handOut(h tokens.Handout, err error) (tokenendpoint.Token, error) {
	return tokenendpoint.Token{Token: proxy.Token(h.Token), Expiry: h.Expiry}, s.forApps(err)
}
