package server

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"go.uber.org/zap"

	"ticketproxy/admin"
	"ticketproxy/config"
	"ticketproxy/process"
	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store"
)

// Options are what a Server takes from its surroundings.
type Options struct {
	Version   string                        // that the metrics show
	Log       *zap.Logger                   // must not be nil
	LogOutput *process.LossyWriter          // where the log goes; nil when no line of it can be lost
	Network   Network                       // how apps and issuers are reached
	Limits    process.Limits                // that bound connections
	Signals   process.Signals               // that end the server, or have it reload
	Reload    func() (config.Config, error) // reads the configuration again after SIGHUP
}

// A Server is the program put together: what listens, and what refreshes.
type Server struct {
	config     config.Config
	options    Options
	log        *zap.Logger
	outbound   outbound
	refreshers []*tokens.Refresher
	apps       []*listener
	admin      *listener // nil when off
	draining   atomic.Bool
	quit       context.CancelFunc // set by Run
	upstreams  map[string]*reloadable

	exposed       atomic.Pointer[[]string] // warnings of files of secrets
	reloadWarning atomic.Pointer[string]   // why files could not be read again; nil when they could
	closeState    func() error
}

// A listener is a server and where it listens.
type listener struct {
	address   config.Address
	mode      fs.FileMode            // of a Unix socket
	upstreams []proxy.UpstreamConfig // none for the admin listener
	handler   *proxy.Handler         // nil for the admin listener
	server    *inbound.Server
}

func (l *listener) add(u proxy.UpstreamConfig) { l.upstreams = append(l.upstreams, u) }

// listener returns the listener at an upstream's address. Port 0 is another
// address each time.
func (s *Server) listener(u config.Upstream) *listener {
	for _, l := range s.apps {
		if l.address == u.Listen && !strings.HasSuffix(u.Listen.Address, ":0") {
			return l
		}
	}
	l := &listener{address: u.Listen, mode: u.SocketMode}
	s.apps = append(s.apps, l)
	return l
}

// purpose says what a listener is for.
func (l *listener) purpose() string {
	if l.upstreams == nil {
		return "admin"
	}
	names := make([]string, len(l.upstreams))
	for i, u := range l.upstreams {
		names[i] = u.Name
	}
	return strings.Join(names, ", ")
}

// New puts together the server that the configuration describes. It opens the
// state, which Run or Close closes, and listens on nothing yet. It fails when the
// state, or a record in it, cannot be used.
func New(c config.Config, o Options) (*Server, error) {
	state, err := openState(c.State)
	if err != nil {
		return nil, err
	}
	s := &Server{
		config:     c,
		options:    o,
		log:        o.Log,
		outbound:   o.Network.outbound(c),
		upstreams:  map[string]*reloadable{},
		closeState: state.Close,
	}
	s.lookAtSecrets(c)
	for _, u := range c.Upstreams {
		s.upstreams[u.Name] = new(reloadable)
		s.upstreams[u.Name].reload(u)
	}
	metrics := admin.NewMetrics(o.Version, s.accounts, s.lostLines)
	sources, err := s.addAccounts(state, metrics)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.addApps(sources, metrics)
	if c.AdminListen != "" {
		s.addAdmin(metrics)
	}
	return s, nil
}

// Close closes the state of a Server that was not run.
func (s *Server) Close() error { return s.closeState() }

// addAccounts makes the refresher of each account. It returns them as what the
// proxy takes tokens from, by account.
func (s *Server) addAccounts(state store.Backend, metrics *admin.Metrics) (map[string]proxy.TokenSource, error) {
	sources := map[string]proxy.TokenSource{}
	for _, u := range s.config.Upstreams {
		if !u.OwnsAccount() {
			continue
		}
		if err := readable(state, u.Name); err != nil {
			return nil, err
		}
		r := s.refresher(s.upstreams[u.Name], state, metrics.Account(u.Name))
		s.refreshers = append(s.refreshers, r)
		sources[u.Name] = source{r}
	}
	return sources, nil
}

// addApps makes the listeners for apps.
func (s *Server) addApps(sources map[string]proxy.TokenSource, metrics *admin.Metrics) {
	log, limits := s.log.Named("proxy"), s.options.Limits
	answers := proxy.NewAnswerMemory(share(limits, mostAnswer))
	for _, u := range s.config.Upstreams {
		files := s.upstreams[u.Name]
		transport := proxy.NewMaxAgeTransport(func() *http.Transport {
			return proxy.NewTransport(u.Timeout, roots(*files.current.Load()), s.outbound.proxy, s.outbound.dial)
		})
		files.changed = append(files.changed, func(config.Upstream) { transport.Leave() })
		s.listener(u).add(proxy.UpstreamConfig{
			Name:      u.Name,
			URL:       u.UpstreamURL,
			Host:      u.Host,
			Prefix:    u.Prefix,
			Locations: proxy.LocationPolicy(u.Locations),
			Cookies:   u.Cookies == "pass",
			DropQuery: u.Dialect.QueryTokens,
			Stub:      stubTokenEndpoint(u),
			Source:    sources[u.Account],
			Transport: transport,
			Answers:   answers,
			Observer:  metrics.Upstream(u.Name),
			Log:       log,
		})
	}
	budget := proxy.NewReplayBudget()
	limiter := appLimiter(limits, len(s.config.Upstreams), s.log)
	for _, l := range s.apps {
		l.handler = proxy.NewHandler(guardOf(s.config, l), budget, l.upstreams...)
		l.server = inbound.NewServer(l.handler, limiter, log)
	}
}

// addAdmin makes the listener for operators.
func (s *Server) addAdmin(metrics *admin.Metrics) {
	s.admin = &listener{address: config.Address{Network: "tcp", Address: s.config.AdminListen}}
	a := &admin.Admin{
		Version:  s.options.Version,
		Guard:    guardOf(s.config, s.admin),
		Metrics:  metrics.Handler(),
		Accounts: s.accounts,
		Warnings: s.warnings,
		Draining: s.draining.Load,
	}
	for _, u := range s.config.Upstreams {
		a.Upstreams = append(a.Upstreams, admin.Upstream{
			Name:    u.Name,
			Listen:  u.Listen.String(),
			Host:    u.Host,
			Prefix:  u.Prefix,
			URL:     u.UpstreamURL.String(),
			Account: u.Account,
		})
	}
	if s.config.AdminQuit {
		a.Quit = func() { s.quit() }
	}
	log := s.log.Named("admin")
	s.admin.server = inbound.NewServer(a.Handler(), inbound.NewConnLimiter(adminConnections, adminHeaders, log), log)
}

// guardOf returns the guard of a listener, which answers to its own address
// and to its upstreams' names. The unspecified address is no address of its own:
// browsers connect to it and do not say which page asks.
func guardOf(c config.Config, l *listener) *inbound.Guard {
	g := &inbound.Guard{Hosts: append([]string(nil), c.AllowedHosts...)}
	if l.upstreams != nil { // who may call an API is no administrator yet
		g.Origins = c.AllowedOrigins
	}
	host, _, err := net.SplitHostPort(l.address.Address)
	if l.address.Network == "tcp" && err == nil && host != "0.0.0.0" && host != "::" {
		g.Hosts = append(g.Hosts, host)
	}
	for _, u := range l.upstreams {
		if u.Host != "" {
			g.Hosts = append(g.Hosts, u.Host)
		}
	}
	return g
}

// lookAtSecrets warns of files of secrets that all users can read.
func (s *Server) lookAtSecrets(c config.Config) {
	warnings := ExposedSecrets(c.SecretFiles)
	s.exposed.Store(&warnings)
	for _, w := range warnings {
		s.log.Warn("file of a secret is readable by others", zap.String("problem", w))
	}
}

// lostLines returns how many lines of the log were lost.
func (s *Server) lostLines() uint64 {
	if s.options.LogOutput == nil {
		return 0
	}
	return s.options.LogOutput.Losses()
}

// warnings says what is wrong with the program as a whole.
func (s *Server) warnings() []string {
	var all []string
	if s.options.LogOutput != nil && s.options.LogOutput.Warning() != "" {
		all = append(all, s.options.LogOutput.Warning())
	}
	if warning := s.reloadWarning.Load(); warning != nil {
		all = append(all, *warning)
	}
	if warnings := s.exposed.Load(); warnings != nil {
		all = append(all, *warnings...)
	}
	return all
}

// accounts returns a snapshot of every account.
func (s *Server) accounts() []tokens.Status {
	all := make([]tokens.Status, len(s.refreshers))
	for i, r := range s.refreshers {
		all[i] = r.Status()
		all[i].Hint = hintFor(all[i])
	}
	return all
}
