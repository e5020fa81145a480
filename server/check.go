package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"ticketproxy/admin"
	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/loopback"
	"ticketproxy/proxy/upstream"
	"ticketproxy/tokens"
	"ticketproxy/tokens/agekey"
	"ticketproxy/tokens/store"
)

// checkTimeout bounds one check.
const checkTimeout = 10 * time.Second

// A Finding is the outcome of one check. It holds when Err is nil and there is no
// Warning.
type Finding struct {
	Subject string // what was checked
	Text    string // what was found, when it holds
	Warning string // what may be wrong
	Note    string // what is neither right nor wrong
	Err     error  // what is wrong
	Hint    string // what to do about Err
}

// Check proves what can be proved without spending a refresh token, and reports
// each finding: files of secrets, the state and its records, and DNS, TLS and
// reachability of issuers and APIs. It returns soon after ctx is done.
func Check(ctx context.Context, c config.Config, network Network, report func(Finding)) {
	k := &checklist{network.outbound(c), report}
	for _, warning := range ExposedSecrets(c.SecretFiles) {
		k.warned("configuration", warning)
	}
	if c.Reader() {
		k.reader(ctx, c)
	} else {
		k.state(ctx, c)
	}
	seen := map[string]bool{}
	for _, u := range c.Upstreams {
		for i, target := range []*url.URL{k.issuer(ctx, c, u), u.UpstreamURL} {
			if target == nil { // which is checked for the upstream that owns the account
				continue
			}
			what := [...]string{"issuer ", "upstream "}[i] + target.Host
			if !seen[what] {
				seen[what] = true
				k.origin(ctx, u, what, target)
			}
		}
	}
}

// issuer returns the URL of the issuer that is to be reached; nil for a reader, which never
// asks one. It checks that the endpoints can be looked up, where they are not configured.
func (k *checklist) issuer(ctx context.Context, c config.Config, u config.Upstream) *url.URL {
	switch {
	case c.Reader():
		return nil
	case u.TokenURL != nil:
		return u.TokenURL
	}
	k.metadata(ctx, u)
	return u.IssuerURL
}

// A checklist reports findings.
type checklist struct {
	out    outbound
	report func(Finding)
}

func (k *checklist) passed(what, format string, args ...any) {
	k.report(Finding{Subject: what, Text: fmt.Sprintf(format, args...)})
}

func (k *checklist) warned(what, words string) {
	k.report(Finding{Subject: what, Warning: words})
}

// fails reports an error, with its own hint or else with that one.
func (k *checklist) fails(what string, err error, advice string) {
	k.report(Finding{Subject: what, Err: err, Hint: cmp.Or(hint.Of(err), advice)})
}

// missingDirs returns the directories that are missing on the way to dir, the deepest
// first.
func missingDirs(dir string) []string {
	var all []string
	for ; dir != "" && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		all = append(all, dir)
	}
	return all
}

// state checks that records can be kept, and what is in those that are there.
func (k *checklist) state(ctx context.Context, c config.Config) {
	keyring, err := openKeyring(c, nil)
	if err != nil {
		k.fails("state", err, "give the path of the identity file")
		return
	}
	if err := needsKey(c, "serve"); err != nil {
		k.warned("state", err.Error())
	}
	made := missingDirs(c.State.Dir)
	backend, err := store.Open(c.State.Reveal())
	if err != nil {
		k.fails("state", err, "set TICKETPROXY_STATE to a directory that this user owns")
		return
	}
	state := newSealedState(backend, keyring)
	defer func() {
		state.Close()
		for _, dir := range made { // which are empty, unless another process has begun to use them
			os.Remove(dir)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if proved, err := state.probe(ctx, c.State); err != nil {
		k.fails("state", err, "")
	} else {
		k.passed("state", "%s", proved)
	}
	if p, ok := state.Backend.(store.AccessProber); ok {
		if found, err := p.ProbeCopy(ctx); err == nil {
			k.report(Finding{Subject: "readers", Note: found})
		}
	}
	if c.State.Kind == "memory" {
		return
	}
	for _, u := range c.Upstreams {
		if u.OwnsAccount() {
			k.account(ctx, state, u, loginHint(c.State, u))
		}
	}
}

// account checks an account's record. advice says how to log in.
func (k *checklist) account(ctx context.Context, state *sealedState, u config.Upstream, advice string) {
	what := "account " + u.Name
	record, _, err := state.Account(u.Name).Load(ctx)
	if wrong := checkGrant(record, u); wrong != nil {
		k.fails(what, wrong, advice)
		return
	}
	switch {
	case errors.Is(err, tokens.ErrNone) && u.ClientCredentials():
		k.passed(what, "needs no login: its grant is client_credentials")
	case errors.Is(err, tokens.ErrNone) && u.RefreshToken.IsZero():
		k.fails(what, errors.New("there is no grant yet"), advice)
	case errors.Is(err, tokens.ErrNone):
		k.passed(what, "begins with its seed")
	case err != nil:
		k.fails(what, err, advice)
	case record.Dead != nil:
		k.fails(what, errors.New(record.Dead.Reason), advice)
	default:
		k.passed(what, "generation %d, refreshed %s, %s",
			record.Generation, admin.Until(time.Now(), record.Grant.Obtained), sealing(record))
		if warning := state.unsealedWarning(record.Recipient); warning != "" {
			k.warned(what, warning)
		}
		if expiry := record.Grant.RefreshExpiry; !expiry.IsZero() && time.Until(expiry) <= 0 {
			k.fails(what, errors.New("its refresh token has expired"), advice)
		}
	}
}

// sealing says how a record is encrypted.
func sealing(r tokens.Record) string {
	if r.Recipient == "" {
		return "in clear"
	}
	return "encrypted to " + agekey.Short(r.Recipient)
}

// metadata checks that the issuer's endpoints can be looked up.
func (k *checklist) metadata(ctx context.Context, u config.Upstream) {
	what := "account " + u.Account
	if !u.OwnsAccount() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	c := client(u, k.out, nil)
	if err := c.Discover(ctx); err != nil {
		k.fails(what, err, "check "+u.EnvPrefix+"ISSUER_URL, or set "+u.EnvPrefix+"TOKEN_URL")
		return
	}
	d := c.Dialect()
	k.passed(what, "its issuer's endpoints were looked up; the client authenticates by %s", d.ClientAuth)
}

// origin checks DNS, TLS and reachability of a URL's host. It asks for nothing
// but a header at the root, without credentials.
func (k *checklist) origin(ctx context.Context, u config.Upstream, what string, target *url.URL) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if k.out.proxy == nil && k.out.dial == nil && !loopback.IsName(target.Hostname()) {
		if _, err := net.DefaultResolver.LookupHost(ctx, target.Hostname()); err != nil {
			k.fails(what, err, "check the name, and this machine's DNS")
			return
		}
	}
	transport := upstream.New(upstream.Config{
		Timeout: checkTimeout,
		Roots:   roots(u),
		Proxy:   k.out.proxy,
		Dial:    k.out.dial,
	})
	defer transport.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, target.Scheme+"://"+target.Host+"/", nil)
	if err != nil {
		k.fails(what, err, "check the URL")
		return
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		k.fails(what, err, "check the URL, "+u.EnvPrefix+"CA_FILE, and what is between here and there; HTTPS_PROXY is obeyed")
		return
	}
	res.Body.Close()
	words := "reached without TLS"
	if target.Scheme == "https" {
		words = "reached, and its certificate is trusted"
	}
	k.passed(what, "%s", words)
	if date, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		if skew := tokens.SkewWarning(tokens.Skew(time.Now(), date)); skew != "" {
			k.warned(what, skew)
		}
	}
}
