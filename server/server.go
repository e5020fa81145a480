package server

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"ticketproxy/admin"
	"ticketproxy/audit"
	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/process"
	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/upstream"
	"ticketproxy/tokens"
)

// Options are what a Server takes from its surroundings.
type Options struct {
	Version   string               // that the metrics show
	Log       *zap.Logger          // must not be nil
	LogOutput *process.LossyWriter // where the log goes; nil when no line of it can be lost
	Stdout    io.Writer            // for the audit log
	Stderr    io.Writer            // the same
	Network   Network              // how apps and issuers are reached
	Limits    process.Limits       // that bound connections
	Signals   process.Signals      // that end the server, or have it reload
	Draining  func()               // is called when the drain begins; may be nil
	// Reload reads the configuration again after SIGHUP. A file that cannot be used is as it was
	// before, and among the mistakes.
	Reload func() (config.Config, []config.Mistake)
}

// A Server is the program put together: what listens, and what refreshes.
type Server struct {
	config   config.Config
	options  Options
	log      *zap.Logger
	outbound outbound
	metrics  *admin.Metrics
	accounts []account
	sources  map[string]proxy.TokenSource // of each account's tokens, by its name
	apps     []*listener
	tokens   *listener // hands out access tokens; nil when off
	admin    *listener // nil when off
	draining atomic.Bool
	quit     context.CancelFunc // set by Run
	current  config.Config      // in use
	tls      *inbound.TLSFiles  // nil is plain HTTP
	callers  *callersFile       // nil where nobody is asked who calls
	audit    *audit.Log         // nil is off

	answers *upstream.AnswerMemory // of all listeners
	kept    *semaphore.Weighted    // request bodies, of all listeners

	exposed       atomic.Pointer[[]string] // warnings of files of secrets
	reloadWarning atomic.Pointer[string]   // which files could not be used as they were read again; nil when all were
	state         *sealedState
}

// New puts together the server that the configuration describes. It opens the
// state, which Run or Close closes, and listens on nothing yet. It fails when the
// state, or a record in it, cannot be used.
func New(c config.Config, o Options) (*Server, error) {
	if err := needsKey(c, "serve"); err != nil {
		return nil, err
	}
	state, err := openState(c, func(err error) { noteStateKey(o.Log, err) })
	if err != nil {
		return nil, err
	}
	s := &Server{
		config:   c,
		options:  o,
		log:      o.Log,
		outbound: o.Network.outbound(c),
		sources:  map[string]proxy.TokenSource{},
		answers:  upstream.NewAnswerMemory(share(o.Limits, mostAnswer)),
		kept:     proxy.NewReplayBudget(),
		state:    state,
	}
	s.metrics = admin.NewMetrics(o.Version, c.CallersFile != "", s.statuses, s.lostLines)
	s.lookAtSecrets(c)
	if err := s.openGateway(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	logCopies(state.Backend, o.Log.Named("tokens"))
	if err := s.addAccounts(state); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.addApps()
	if c.TokenListen.Network != "" {
		s.addTokens()
	}
	if c.AdminListen != "" {
		s.addAdmin()
	}
	s.use(c)
	s.warnOfClearText()
	return s, nil
}

// use has the accounts and the listeners for apps go on with what c says of the
// upstreams, which are the same as before. Requests in flight end with what they
// began with. It is not safe for concurrent use.
func (s *Server) use(c config.Config) {
	s.current = c
	for _, u := range c.Upstreams {
		if a, ok := s.account(u.Name); ok {
			a.use(u, s.outbound)
		}
	}
	for _, l := range s.apps {
		l.use(s.routes(l, c))
	}
}

// useCallers has the listeners of callers' own serve the upstreams that the rules name now. It
// is not safe for concurrent use.
func (s *Server) useCallers() {
	for _, l := range s.apps {
		if l.caller != "" {
			l.use(s.routes(l, s.current))
		}
	}
}

// openGateway opens what a gateway has besides: TLS, the audit log and CALLERS_FILE.
func (s *Server) openGateway() (err error) {
	if s.tls, err = openTLS(s.config, s.log); err != nil {
		return err
	}
	if s.audit, err = openAudit(s.config, s.options); err != nil {
		return err
	}
	if s.audit != nil {
		s.metrics.Audit(s.audit.Lost, func() bool { return s.audit.Renamed() != nil })
	}
	s.callers, err = s.openCallers()
	return err
}

// Close closes the state of a Server that was not run.
func (s *Server) Close() error {
	if s.callers != nil {
		s.callers.close()
	}
	return errors.Join(s.audit.Close(), s.state.Close())
}

// addAdmin makes the listener for operators.
func (s *Server) addAdmin() {
	s.admin = &listener{
		address:  config.Address{Network: "tcp", Address: s.config.AdminListen},
		variable: "TICKETPROXY_ADMIN_LISTEN",
		serves:   "admin",
	}
	c := admin.Config{
		Version:  s.options.Version,
		Guard:    guardOf(s.config, s.admin),
		Metrics:  s.metrics.Handler(),
		Accounts: s.statuses,
		Warnings: s.warnings,
		Draining: s.draining.Load,
		Refusing: func() bool { return s.audit.Refuses() != nil },
	}
	for _, u := range s.config.Upstreams {
		c.Upstreams = append(c.Upstreams, admin.Upstream{
			Name:    u.Name,
			Listen:  u.Listen.String(),
			Host:    u.Host,
			Prefix:  u.Prefix,
			URL:     u.UpstreamURL.String(),
			Account: u.Account,
		})
	}
	if s.config.AdminQuit {
		c.Quit = func() { s.quit() }
	}
	log := s.log.Named("admin")
	limiter := inbound.NewConnLimiter(adminConnections, adminHeaders, log)
	s.admin.server = inbound.NewServer(admin.NewHandler(c), limiter, log)
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
	if err := s.audit.Failure(); err != nil {
		consequence := "lines are lost"
		if s.config.AuditRequired {
			consequence = "requests are refused"
		}
		all = append(all, "the audit log cannot be written, and "+consequence+": "+err.Error())
	}
	if err := s.audit.Renamed(); err != nil {
		all = append(all, "the audit log goes on in a file that was renamed, since no other can be opened: "+
			err.Error()+" ("+hint.Of(err)+")")
	}
	if s.callers != nil {
		if problem := s.callers.Problem(); problem != "" {
			all = append(all, "TICKETPROXY_CALLERS_FILE cannot be used, and what it held before is in use: "+problem)
		}
		if waiting := s.callers.Waiting(); waiting != "" {
			all = append(all, "TICKETPROXY_CALLERS_FILE is in use, but for a listener: "+waiting)
		}
	}
	if err := s.state.keyring.Problem(); err != nil {
		all = append(all, "the keys of TICKETPROXY_STATE_KEY_FILE stay as they were before: "+err.Error())
	}
	if warnings := s.exposed.Load(); warnings != nil {
		all = append(all, *warnings...)
	}
	return all
}

// statuses returns a snapshot of every account.
func (s *Server) statuses() []tokens.Status {
	all := make([]tokens.Status, len(s.accounts))
	for i, a := range s.accounts {
		all[i] = a.Status()
		if u := *a.upstream.Load(); s.config.Reader() {
			all[i].Hint = readerHint(all[i], s.config.State, u)
		} else {
			all[i].Hint = hintFor(all[i], s.config.State, u, time.Now())
			s.addSealing(&all[i])
		}
	}
	return all
}

// addSealing says in an account's status how its record is encrypted.
func (s *Server) addSealing(status *tokens.Status) {
	recipient, known := s.state.sealed(status.Account).Recipient()
	if !known {
		return
	}
	status.EncryptedTo = recipient
	if warning := s.state.unsealedWarning(recipient); warning != "" {
		status.Warnings = append(status.Warnings, warning)
	}
}
