package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"go.uber.org/zap"
	"golang.org/x/net/http/httpproxy"

	"ticketproxy/admin"
	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/proxy"
	"ticketproxy/tokens"
	"ticketproxy/tokens/issuer"
	"ticketproxy/tokens/store"
)

// configure parses the environment.
func (p *process) configure() (config.Config, error) {
	return config.Parse(p.environment(), providers())
}

func (p *process) environment() config.Environment {
	return config.Environment{Vars: p.environ, StateHome: p.stateHome}
}

// providers tells config what the dialects say of themselves.
func providers() []config.Provider {
	var all []config.Provider
	for _, d := range issuer.Dialects() {
		all = append(all, config.Provider{
			Name:          d.Name,
			UpstreamURL:   d.UpstreamURL,
			TokenURL:      d.TokenURL,
			AuthorizeURL:  d.AuthorizeURL,
			ClientAuth:    string(d.ClientAuth),
			TokenEncoding: string(d.Encoding),
			Rotation:      d.Rotation.String(),
		})
	}
	return all
}

// A product is the program put together: what listens, and what refreshes. It
// is the only place where the rooms meet.
type product struct {
	config     config.Config
	log        *zap.Logger
	refreshers []*tokens.Refresher
	servers    []*listener
	admin      *listener // nil when off
	draining   atomic.Bool
	quit       context.CancelFunc // set by run
	upstreams  map[string]*reloadable
	output     *lossyWriter // that the log goes to; nil when that loses nothing

	exposed       atomic.Pointer[[]string] // warnings of files of secrets
	reloadWarning atomic.Pointer[string]   // why files could not be read again; nil when they could
	closeState    func() error
}

// A listener is a server and where it listens.
type listener struct {
	address   config.Address
	mode      fs.FileMode       // of a Unix socket
	upstreams []*proxy.Upstream // none for the admin listener
	server    *proxy.Server
}

func (l *listener) add(u *proxy.Upstream) { l.upstreams = append(l.upstreams, u) }

// listener returns the listener at an upstream's address. Port 0 is another
// address each time.
func (m *product) listener(u config.Upstream) *listener {
	for _, l := range m.servers {
		if l.address == u.Listen && !strings.HasSuffix(u.Listen.Address, ":0") {
			return l
		}
	}
	l := &listener{address: u.Listen, mode: u.SocketMode}
	m.servers = append(m.servers, l)
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

// assemble builds the product that the configuration describes. It opens the
// state, and listens on nothing yet.
func (p *process) assemble(c config.Config, log *zap.Logger) (*product, error) {
	state, err := openState(c.State)
	if err != nil {
		return nil, err
	}
	made := &product{
		config:     c,
		log:        log,
		output:     p.output,
		upstreams:  map[string]*reloadable{},
		closeState: state.close,
	}
	made.lookAtSecrets(c)
	metrics := admin.NewMetrics(version, made.accounts, made.lostLines)
	egress := p.egress()
	for _, u := range c.Upstreams {
		made.upstreams[u.Name] = new(reloadable)
		made.upstreams[u.Name].reload(u)
	}
	sources := map[string]proxy.TokenSource{}
	for _, u := range c.Upstreams {
		if !u.OwnsAccount() {
			continue
		}
		r := refresher(made.upstreams[u.Name], egress, p.dial)
		r.Store, r.Holder = state.account(u.Name), state.holder
		r.Log, r.Observer = log.Named("tokens").With(zap.String("account", u.Name)), metrics.Account(u.Name)
		if err := readable(r); err != nil {
			return nil, errors.Join(err, made.closeState())
		}
		made.refreshers = append(made.refreshers, r)
		sources[u.Name] = source{r}
	}
	answers := proxy.NewAnswerMemory(p.share(mostAnswer))
	var upstreams []admin.Upstream
	for _, u := range c.Upstreams {
		files := made.upstreams[u.Name]
		transport := &proxy.Aging{New: func() *http.Transport {
			return proxy.NewTransport(u.Timeout, roots(*files.current.Load()), egress, p.dial)
		}}
		files.changed = append(files.changed, func(config.Upstream) { transport.Leave() })
		made.listener(u).add(&proxy.Upstream{
			Name:      u.Name,
			URL:       u.UpstreamURL,
			Host:      u.Host,
			Prefix:    u.Prefix,
			Locations: proxy.LocationPolicy(u.Locations),
			Cookies:   u.Cookies == "pass",
			DropQuery: dialect(u).QueryTokens,
			Own:       placeholder(u),
			Source:    sources[u.Account],
			Transport: transport,
			Answers:   answers,
			Observer:  metrics.Upstream(u.Name),
			Log:       log.Named("proxy"),
		})
		upstreams = append(upstreams, admin.Upstream{Name: u.Name, Listen: u.Listen.String(), Host: u.Host, Prefix: u.Prefix, URL: u.UpstreamURL.String(), Account: u.Account})
	}
	budget := proxy.NewReplayBudget()
	room := p.appRoom(len(c.Upstreams), log)
	for _, l := range made.servers {
		l.server = &proxy.Server{Handler: proxy.NewHandler(guardOf(c, l), budget, l.upstreams...), Room: room, Log: log.Named("proxy")}
	}
	if c.AdminListen != "" {
		made.admin = &listener{address: config.Address{Network: "tcp", Address: c.AdminListen}}
		a := &admin.Admin{Version: version, Guard: guardOf(c, made.admin), Metrics: metrics.Handler(), Accounts: made.accounts, Warnings: made.warnings, Upstreams: upstreams, Draining: made.draining.Load}
		if c.AdminQuit {
			a.Quit = func() { made.quit() }
		}
		made.admin.server = &proxy.Server{Handler: a.Handler(), Room: proxy.NewRoom(adminPlaces, adminHeaders, log.Named("admin")), Log: log.Named("admin")}
	}
	return made, nil
}

// guardOf returns the guard of a listener, which answers to its own address
// and to its upstreams' names. The unspecified address is no address of its own:
// browsers connect to it and do not say which page asks.
func guardOf(c config.Config, l *listener) *proxy.Guard {
	g := &proxy.Guard{Hosts: append([]string(nil), c.AllowedHosts...)}
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

// A state is where the accounts' records live, opened.
type state struct {
	account func(name string) tokens.Store
	holder  string // the name of this process there
	close   func() error
}

// openState opens the state that the configuration names.
func openState(c config.State) (*state, error) {
	if c.Kind == "memory" {
		return &state{
			account: func(string) tokens.Store { return new(store.Memory) },
			holder:  rand.Text(),
			close:   func() error { return nil },
		}, nil
	}
	dir, err := store.OpenDir(c.Dir)
	if err != nil {
		return nil, stateError(err)
	}
	return &state{
		account: func(name string) tokens.Store { return dir.Account(name) },
		holder:  dir.Holder(),
		close:   dir.Close,
	}, nil
}

// stateError says that the directory of STATE cannot be used, and what to do as
// far as the error itself does not know better.
func stateError(err error) error {
	err = fmt.Errorf("TICKETPROXY_STATE: %w", err)
	if hint.Of(err) == "" {
		err = hint.With(err, "set TICKETPROXY_STATE to file: and a directory that this user can make or owns")
	}
	return err
}

// readable fails where a record exists that cannot be used: that is better
// said at the start than with the first request.
func readable(r *tokens.Refresher) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if _, _, err := r.Store.Load(ctx); err != nil && !errors.Is(err, tokens.ErrNone) {
		return fmt.Errorf("opening account %s: %w", r.Account, err)
	}
	return nil
}

// egress returns how to get out through HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
func (p *process) egress() func(*http.Request) (*url.URL, error) {
	get := func(name string) string { return cmp.Or(p.getenv(name), p.getenv(strings.ToLower(name))) }
	c := httpproxy.Config{HTTPProxy: get("HTTP_PROXY"), HTTPSProxy: get("HTTPS_PROXY"), NoProxy: get("NO_PROXY")}
	if c.HTTPProxy == "" && c.HTTPSProxy == "" {
		return nil
	}
	find := c.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return find(r.URL) }
}

func (p *process) getenv(name string) string {
	for _, pair := range p.environ {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// lookAtSecrets warns of files of secrets that all users can read.
func (m *product) lookAtSecrets(c config.Config) {
	warnings := exposedSecrets(c.SecretFiles, onReadOnlyMount)
	m.exposed.Store(&warnings)
	for _, w := range warnings {
		m.log.Warn("file of a secret is readable by others", zap.String("problem", w))
	}
}

// lostLines returns how many lines of the log were lost.
func (m *product) lostLines() uint64 {
	if m.output == nil {
		return 0
	}
	return m.output.losses()
}

// warnings says what is wrong with the program as a whole.
func (m *product) warnings() []string {
	var all []string
	if m.output != nil && m.output.warning() != "" {
		all = append(all, m.output.warning())
	}
	if warning := m.reloadWarning.Load(); warning != nil {
		all = append(all, *warning)
	}
	if warnings := m.exposed.Load(); warnings != nil {
		all = append(all, *warnings...)
	}
	return all
}

// accounts returns a snapshot of every account.
func (m *product) accounts() []tokens.Status {
	all := make([]tokens.Status, len(m.refreshers))
	for i, r := range m.refreshers {
		all[i] = r.Status()
		all[i].Hint = remedy(all[i])
	}
	return all
}

// ballast is memory that is never touched, and so costs none. With it the
// collector rests although the heap is a few MiB, for which it would run many
// times a second. A higher GOGC would do that too, and multiply what a thousand
// slow clients take. There is none where the user has set GOGC.
func (p *process) ballast() []byte {
	if p.getenv("GOGC") != "" {
		return nil
	}
	return make([]byte, ballastSize)
}

const ballastSize = 12 << 20
