package login

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"ticketproxy/hint"
	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/dialect"
	"ticketproxy/tokens/issuer"
)

// Bounds of the wait between two attempts to store a grant.
const (
	firstStoreWait = time.Second
	maxStoreWait   = 15 * time.Second
)

// storeTimeout bounds one operation on the state.
const storeTimeout = 10 * time.Second

// A Flow obtains a grant of one account from a person, and stores it. All fields must be
// set. Run may be called once.
type Flow struct {
	Account string
	Client  *issuer.Client
	Seed    func() secret.String // the operator's current seed, which the grant replaces
	Store   tokens.Store
	// Probe proves that the account's record can be written, and leaves the state as it is.
	Probe func(context.Context) error
	// Warning returns what a person should know before the record is replaced; nil is nothing.
	// The error may have a hint.
	Warning func(tokens.Record) error
	Options Options
	Names   Names

	Stdin          io.Reader // a terminal, or a pipe with one answer on each line
	Stdout, Stderr io.Writer

	// Listen opens the sockets of an address, host:port.
	Listen func(ctx context.Context, address string) ([]net.Listener, error)
	// Browse opens a web page for the person.
	Browse func(address string) error
}

// Names are the account's variables, for hints.
type Names struct {
	Prefix   string // begins each of them
	Endpoint string // the one that says where the token endpoint is
	Client   string // what to do when the issuer refuses the client
}

// Options change how the grant is obtained. The zero value is the usual method of the
// account's issuer.
type Options struct {
	CallbackPort int           // on 127.0.0.1; 0 is any free port
	RedirectURI  string        // the whole redirect URI; "" is /callback at CallbackPort
	NoBrowser    bool          // have a person allow the access in a browser on another machine
	Username     string        // for issuers that take user name and password
	TokenFile    string        // holds a refresh token
	Timeout      time.Duration // how long to wait for a person, and for the state
	Given        []string      // the names of the flags that were given
}

func (f *Flow) prompt() *prompt { return newPrompt(f.Stdin, f.Stderr) }

// method returns how to obtain the first grant from the account's issuer: for an
// authorization code if the issuer has such codes (RFC 6749, section 4.1), for a
// password if it has no codes or --username is given (section 4.3), and otherwise for a
// refresh token that the person has. An issuer that gives codes to devices (RFC 8628) is
// asked for one when no browser here may be used. A flag of another method is an error.
func (f *Flow) method() (func(context.Context) (tokens.Grant, error), error) {
	o, d := f.Options, f.Client.Dialect()
	code := d.Allows(dialect.GrantAuthorizationCode)
	password := d.Allows(dialect.GrantPassword)
	obtain, name, flags := f.byToken, "with a refresh token", []string{"refresh-token-file"}
	switch {
	case o.TokenFile != "":
	case d.DeviceURL != "" && o.Username == "" &&
		(o.NoBrowser && o.RedirectURI == "" && o.CallbackPort == 0 || d.AuthorizeURL == ""):
		obtain, name, flags = f.byDevice, "with a code for a browser on any machine", []string{"no-browser"}
	case code && d.AuthorizeURL != "" && (o.Username == "" || !password):
		obtain, name, flags = f.byCode, "through the browser", []string{"callback-port", "redirect-uri", "no-browser"}
	case password && (o.Username != "" || !code):
		obtain, name, flags = f.byPassword, "with user name and password", []string{"username"}
	}
	for _, given := range o.Given {
		if given != "timeout" && !slices.Contains(flags, given) {
			return nil, hint.Usage(
				fmt.Errorf("--%s has no meaning here: account %s logs in %s", given, f.Account, name),
				"leave it out",
			)
		}
	}
	return obtain, nil
}

// Run obtains a grant, stores it, and prints that. Before it asks the issuer, it reads the
// state and proves that it can be written, because a grant that cannot be stored would be
// lost. Run returns when ctx is done or Options.Timeout is over.
func (f *Flow) Run(ctx context.Context) error {
	if err := f.Client.Discover(ctx); err != nil {
		return fmt.Errorf("logging in account %s: %w", f.Account, hint.With(
			err, "check "+f.Names.Prefix+"ISSUER_URL, or set "+f.Names.Prefix+"TOKEN_URL"))
	}
	obtain, err := f.method()
	if err != nil {
		return err
	}
	if err := f.checkState(ctx); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, f.Options.Timeout, errTimeout)
	defer cancel()
	grant, err := obtain(waiting)
	if err == nil && grant.RefreshToken.IsZero() {
		advice := "nothing was stored; let the issuer give refresh tokens to this client"
		if !slices.Contains(strings.Fields(f.Client.Scope()), "offline_access") {
			advice += ", for which most OpenID Connect issuers want offline_access in " + f.Names.Prefix + "SCOPE"
		}
		err = hint.With(
			errors.New("the issuer gave no refresh token, so the account would end with its access token, "+
				expiryText(grant.Expiry)),
			advice+"; then run ticketproxy login "+f.Account+" again",
		)
	}
	if err != nil {
		return fmt.Errorf("logging in account %s: %w", f.Account, err)
	}
	generation, err := f.store(ctx, grant)
	if err != nil {
		return fmt.Errorf("logging in account %s: %w", f.Account, hint.With(
			fmt.Errorf("the grant could not be stored and is lost: %w", err),
			"make the state writable, then run ticketproxy login "+f.Account+" again",
		))
	}
	fmt.Fprintf(f.Stdout, "account %s: logged in, generation %d, access token %s, refresh token %s\n",
		f.Account, generation, expiryText(grant.Expiry), expiryText(grant.RefreshExpiry))
	return nil
}

// checkState returns an error if the grant could not be stored, and warns of what becomes of
// the record that is there.
func (f *Flow) checkState(ctx context.Context) error {
	record, err := tokens.CheckRecord(ctx, f.Store, f.Account)
	if errors.Is(err, tokens.ErrSealed) {
		return hint.With(err, hint.Of(err)+"; or, to replace the record unread, set TICKETPROXY_STATE_RECIPIENT "+
			"to the recipient of the running instance's identity, and no TICKETPROXY_STATE_KEY_FILE")
	}
	if err != nil {
		return err
	}
	probing, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	switch err := f.Probe(probing); {
	case ctx.Err() != nil:
		return fmt.Errorf("logging in account %s: %w", f.Account, f.waitError(ctx, ""))
	case err != nil:
		return fmt.Errorf("logging in account %s: the state cannot be written to, so nothing was asked of the issuer: %w",
			f.Account, err)
	}
	if warning := f.Warning(record); warning != nil {
		fmt.Fprintf(f.Stderr, "warning: %v\nhint: %s\n", warning, hint.Of(warning))
	}
	return nil
}

// expiryText says when a token expires.
func expiryText(t time.Time) string {
	if t.IsZero() {
		return "without a stated end"
	}
	return "until " + t.Local().Format(time.RFC3339)
}

// store stores a grant, which cannot be obtained twice. It retries until it succeeds or
// the time-out is over. After an interrupt it tries once more.
func (f *Flow) store(ctx context.Context, grant tokens.Grant) (generation uint64, _ error) {
	ctx, cancel := context.WithTimeout(ctx, f.Options.Timeout)
	defer cancel()
	for wait := firstStoreWait; ; wait = min(2*wait, maxStoreWait) {
		generation, err := f.tryStore(grant, wait > firstStoreWait)
		if err == nil || ctx.Err() != nil {
			return generation, err
		}
		fmt.Fprintf(f.Stderr, "The grant was obtained, but cannot be stored: %v\n", err)
		if advice := hint.Of(err); advice != "" {
			fmt.Fprintf(f.Stderr, "hint: %s\n", advice)
		}
		fmt.Fprintf(f.Stderr, "Trying again in %v. Ctrl-C gives the grant up.\n", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// tryStore stores the grant as a new record. When it is called again, it first checks
// whether the attempt before, whose outcome may be unknown, has stored it. It ignores an
// interrupt.
func (f *Flow) tryStore(grant tokens.Grant, again bool) (generation uint64, _ error) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if again {
		if stored, _, err := f.Store.Load(ctx); err == nil && stored.Grant.Same(grant) {
			return stored.Generation, nil
		}
	}
	return tokens.Begin(ctx, f.Store, grant, f.Seed())
}

var (
	errTimeout     = errors.New("nobody answered in time")
	errInterrupted = errors.New("interrupted")
)

// waitError returns why the wait for a person has ended.
func (f *Flow) waitError(ctx context.Context, advice string) error {
	if errors.Is(context.Cause(ctx), errTimeout) {
		return hint.With(fmt.Errorf("%w (%v)", errTimeout, f.Options.Timeout), advice+"--timeout waits longer")
	}
	return hint.With(errInterrupted, "no token was asked for, and the state is as it was")
}

// errorTexts explain errors of the token endpoint to a person.
type errorTexts struct {
	unknown string // the meaning of invalid_grant
	hint    string // what to do after invalid_grant
	lost    string // what to do when no answer came
}

// describe explains a failed token request (RFC 6749, section 5.2).
func (f *Flow) describe(err error, r errorTexts) error {
	var e *tokens.IssuerError
	if !errors.As(err, &e) {
		return err
	}
	if said := quoteIssuer(e.Description.Reveal()); said != "" {
		err = fmt.Errorf("%w%s", err, said)
	}
	again := "run ticketproxy login " + f.Account + " again"
	switch e.Class {
	case tokens.Invalid:
		return hint.With(fmt.Errorf("%s: %w", r.unknown, err), r.hint)
	case tokens.NotSent:
		return hint.With(
			fmt.Errorf("asking the issuer: %w", err),
			"see that "+f.Names.Endpoint+" is right and can be reached, and "+again,
		)
	case tokens.Throttled:
		if e.RetryAfter > 0 {
			again += fmt.Sprintf(" in %v", e.RetryAfter)
		}
		return hint.With(fmt.Errorf("the issuer asks for silence: %w", err), again)
	case tokens.Ambiguous:
		return hint.With(fmt.Errorf("the issuer gave no usable answer: %w", err), r.lost)
	}
	if e.Code == "invalid_client" || e.Code == "unauthorized_client" {
		return hint.With(fmt.Errorf("the issuer does not accept this client: %w", err), f.Names.Client)
	}
	return hint.With(
		fmt.Errorf("the issuer does not accept the request: %w", err),
		r.hint+"; or "+f.Names.Client+"; or check "+f.Names.Endpoint,
	)
}

// quoteIssuer quotes the issuer's description of an error, "" when there is none. It is
// cut to 200 characters, and those that could change how a terminal shows text are escaped.
func quoteIssuer(description string) string {
	const most = 200
	text := []rune(strings.TrimSpace(strings.ToValidUTF8(description, "")))
	switch {
	case len(text) == 0:
		return ""
	case len(text) > most:
		text = append(text[:most], '…')
	}
	return "; the issuer says: " + strconv.Quote(string(text))
}
