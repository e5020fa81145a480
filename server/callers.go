package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"ticketproxy/config"
	"ticketproxy/config/callers"
	"ticketproxy/hint"
	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/inbound/authn"
	"ticketproxy/proxy/inbound/authn/jwks"
	"ticketproxy/proxy/policy"
)

// callersPoll is how often CALLERS_FILE is looked at. A volume of Kubernetes changes it by a
// symbolic link, which no watch on the file itself would tell of.
const callersPoll = time.Second

// callersSettle is how long a file may be changed again without another time of change.
const callersSettle = 2 * time.Second

// callersFile has a gate follow CALLERS_FILE.
type callersFile struct {
	config   config.Config
	outbound outbound
	gate     *gate
	trusts   *inbound.TLSFiles
	key      []byte           // for placeholders
	cluster  *jwks.Kubernetes // that this is a pod of; nil outside of one
	log      *zap.Logger
	opened   map[string]callers.Address // listeners of callers' own, which are opened at the start

	// What follows is update's own: it is called by one goroutine at a time.
	seen   fs.FileInfo // of the file when it was read last; nil when it is to be read again
	readAt time.Time

	mu      sync.Mutex // never held while the file is read: its disk may not answer
	problem error      // why the file, as it is now, is not in use
	waiting []string   // what of the file in use needs a restart
}

// openCallers reads CALLERS_FILE. It returns nil where there is none.
func (s *Server) openCallers() (*callersFile, error) {
	if s.config.CallersFile == "" {
		return nil, nil
	}
	f := &callersFile{
		config:   s.config,
		outbound: s.outbound,
		gate:     &gate{metrics: s.metrics, log: s.log.Named("callers")},
		trusts:   s.tls,
		cluster:  kubernetesOf(os.Getenv),
		log:      s.log.Named("callers"),
	}
	var err error
	if f.key, err = placeholderKey(s.config); err != nil {
		return nil, err
	}
	if err := f.read(); err != nil {
		return nil, err
	}
	f.opened = listenersOf(f.gate.rules.Load().file)
	s.metrics.CallersRead(true)
	return f, nil
}

// placeholderKey returns the key of placeholders. With STATE_KEY_FILE all replicas have the
// same one, so that each accepts what another has given. Otherwise it is the process's own.
func placeholderKey(c config.Config) ([]byte, error) {
	if c.StateKeyFile == "" {
		key := make([]byte, 32)
		rand.Read(key) // never fails
		return key, nil
	}
	keys, err := config.ReadStateKey(c.StateKeyFile)
	if err != nil {
		return nil, err
	}
	return keys.Derive("placeholders")
}

// update reads the file if it may be another one than before, or if it must, and reports
// whether its rules are used now. A file that cannot be used leaves the rules as they were. It
// is not safe for concurrent use.
func (f *callersFile) update(must bool) bool {
	if !must && !f.changed() {
		return false
	}
	before, rules := f.problem, f.gate.rules.Load()
	problem := f.read()
	waiting := f.waiting
	if problem == nil {
		waiting = notOpened(f.gate.rules.Load().file, f.opened)
	}
	f.mu.Lock()
	f.problem, f.waiting = problem, waiting
	f.mu.Unlock()
	if problem == nil && f.gate.rules.Load() == rules {
		return false
	}
	f.gate.metrics.CallersRead(problem == nil)
	switch {
	case problem == nil:
		f.log.Info("CALLERS_FILE was read again")
		for _, text := range waiting {
			f.log.Warn(text, zap.String("hint", waitingHint))
		}
	case before == nil || before.Error() != problem.Error():
		f.logProblem()
	}
	return problem == nil
}

// logProblem logs why the file is not in use: each mistake in it with its hint.
func (f *callersFile) logProblem() {
	const message = "CALLERS_FILE cannot be used: going on with what it held before"
	wrong, ok := errors.AsType[*callers.Error](f.problem)
	if !ok {
		f.log.Error(message, zap.Error(f.problem), zap.String("hint", hint.Of(f.problem)))
		return
	}
	for _, m := range wrong.Mistakes {
		f.log.Error(message, zap.String("error", m.Text()), zap.String("hint", m.Hint))
	}
}

// changed reports whether the file may have other content than what was read. File systems
// count times in steps, so a file that was read soon after a change is read once more.
func (f *callersFile) changed() bool {
	info, err := os.Stat(f.config.CallersFile)
	if err != nil || f.seen == nil || !os.SameFile(info, f.seen) || !info.ModTime().Equal(f.seen.ModTime()) ||
		info.Size() != f.seen.Size() {
		return true
	}
	settled := f.seen.ModTime().Add(callersSettle)
	return f.readAt.Before(settled) && !time.Now().Before(settled)
}

// read reads the file, and has the gate go on with it if it says something else. What is
// wrong with something else than the text may be mended without a change of the file, so the
// file is read again.
func (f *callersFile) read() (err error) {
	defer func() {
		if err != nil && !errors.As(err, new(*callers.Error)) {
			f.seen = nil
		}
	}()
	info, err := os.Stat(f.config.CallersFile) // before reading: a later change is then seen
	if err != nil {
		info = nil
	}
	f.seen, f.readAt = info, time.Now()
	file, err := f.config.ReadCallers()
	if err != nil {
		return err
	}
	old := f.gate.rules.Load()
	next := &rules{file: file}
	if old == nil {
		old = &rules{}
	} else if f.problem == nil && reflect.DeepEqual(old.file, file) {
		return nil // so verified tokens are not forgotten
	}
	c := authn.Config{
		File:           file,
		Kubernetes:     f.cluster,
		PlaceholderKey: f.key,
		Proxy:          f.outbound.proxy,
		Dial:           f.outbound.dial,
		Previous:       old.authn,
		Report: func(issuer string, err error) {
			f.log.Warn("keys of an issuer cannot be fetched", zap.String("issuer", issuer), zap.Error(err))
		},
	}
	if f.trusts != nil {
		c.Trusts = f.trusts.Trusts
	}
	if next.authn, err = authn.New(c); err != nil {
		return err
	}
	next.policy = policy.New(file, old.policy)
	f.gate.use(next)
	return nil
}

// close ends what the newest rules have under way.
func (f *callersFile) close() {
	if current := f.gate.rules.Load(); current != nil {
		current.authn.Close()
	}
}

// Problem says in one line why the file, as it is now, is not in use; "" when it is.
func (f *callersFile) Problem() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	wrong, ok := errors.AsType[*callers.Error](f.problem)
	switch {
	case f.problem == nil:
		return ""
	case !ok && hint.Of(f.problem) != "":
		return f.problem.Error() + " (" + hint.Of(f.problem) + ")"
	case !ok:
		return f.problem.Error()
	}
	first := wrong.Mistakes[0]
	text := first.Text() + " (" + first.Hint + ")"
	if more := len(wrong.Mistakes) - 1; more > 0 {
		text += fmt.Sprintf("; mistakes besides: %d", more)
	}
	return text
}

const waitingHint = "restart ticketproxy: listeners are opened when it starts"

// Waiting says in one line what of the file in use needs a restart; "" when nothing does.
func (f *callersFile) Waiting() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting) == 0 {
		return ""
	}
	return strings.Join(f.waiting, ", ") + " (" + waitingHint + ")"
}

// kubernetesOf returns how a pod reaches its API server; nil outside of a cluster.
func kubernetesOf(getenv func(string) string) *jwks.Kubernetes {
	const account = "/var/run/secrets/kubernetes.io/serviceaccount/"
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil
	}
	return &jwks.Kubernetes{
		Server:    "https://" + net.JoinHostPort(host, port),
		TokenFile: account + "token",
		CAFile:    account + "ca.crt",
	}
}
