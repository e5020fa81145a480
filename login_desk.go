package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ticketproxy/hint"
	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/issuer"
)

// Bounds of the waits between two attempts to store a grant.
const (
	firstStoreWait = time.Second
	mostStoreWait  = 15 * time.Second
)

// A desk is where a person obtains a grant of one account.
type desk struct {
	process *process
	options loginOptions
	account string
	client  *issuer.Client
	seed    func() secret.String // the operator's of now, which the grant outranks
	store   tokens.Store
}

// way returns how the account's issuer gives a first grant: for an
// authorization code where it can (RFC 6749, section 4.1), for a password
// where it has nothing better or --username asks for it (section 4.3), and
// otherwise for a refresh token that was made by hand. Flags of another way
// are mistakes.
func (d *desk) way() (func(context.Context) (tokens.Grant, error), error) {
	o, dialect := d.options, d.client.Dialect
	code := dialect.Allows(issuer.GrantAuthorizationCode)
	password := dialect.Allows(issuer.GrantPassword)
	obtain, name, knows := d.byToken, "with a refresh token", []string{"refresh-token-file"}
	switch {
	case o.tokenFile != "":
	case code && dialect.AuthorizeURL != "" && (o.username == "" || !password):
		obtain, name, knows = d.byCode, "through the browser", []string{"callback-port", "redirect-uri", "no-browser"}
	case password && (o.username != "" || !code):
		obtain, name, knows = d.byPassword, "with user name and password", []string{"username"}
	}
	for _, f := range o.given {
		if f != "timeout" && !slices.Contains(knows, f) {
			return nil, usage(fmt.Errorf("--%s has no meaning here: account %s logs in %s", f, d.account, name), "leave it out")
		}
	}
	return obtain, nil
}

// serve obtains a grant, stores it, and says so. That the state can be read
// is seen before the issuer is asked.
func (d *desk) serve(ctx context.Context, obtain func(context.Context) (tokens.Grant, error)) error {
	if err := readable(&tokens.Refresher{Account: d.account, Store: d.store}); err != nil {
		return err
	}
	person, cancel := context.WithTimeoutCause(ctx, d.options.timeout, errPatience)
	defer cancel()
	grant, err := obtain(person)
	if err == nil && grant.RefreshToken.IsZero() {
		err = hint.With(
			errors.New("the issuer gave no refresh token, so the account would end with its access token, "+ends(grant.Expiry)),
			"nothing was stored; let the issuer give refresh tokens to this client, then run ticketproxy login "+d.account+" again",
		)
	}
	if err != nil {
		return fmt.Errorf("logging in account %s: %w", d.account, err)
	}
	generation, err := d.keep(ctx, grant)
	if err != nil {
		return fmt.Errorf("logging in account %s: %w", d.account, hint.With(
			fmt.Errorf("the grant could not be stored and is lost: %w", err), "mend the state, then run ticketproxy login "+d.account+" again",
		))
	}
	fmt.Fprintf(d.process.stdout, "account %s: logged in, generation %d, access token %s, refresh token %s\n",
		d.account, generation, ends(grant.Expiry), ends(grant.RefreshExpiry))
	return nil
}

// ends says when a token does.
func ends(t time.Time) string {
	if t.IsZero() {
		return "without a stated end"
	}
	return "until " + t.Local().Format(time.RFC3339)
}

// keep stores a grant, which cannot be obtained twice. It tries until it can,
// or until the time-out; an interrupt leaves it one last try.
func (d *desk) keep(ctx context.Context, grant tokens.Grant) (generation uint64, _ error) {
	ctx, cancel := context.WithTimeout(ctx, d.options.timeout)
	defer cancel()
	for wait := firstStoreWait; ; wait = min(2*wait, mostStoreWait) {
		generation, err := d.begin(grant, wait > firstStoreWait)
		if err == nil || ctx.Err() != nil {
			return generation, err
		}
		fmt.Fprintf(d.process.stderr, "The grant was obtained, but cannot be stored: %v\n", err)
		if advice := hint.Of(err); advice != "" {
			fmt.Fprintf(d.process.stderr, "hint: %s\n", advice)
		}
		fmt.Fprintf(d.process.stderr, "Trying again in %v. Ctrl-C gives the grant up.\n", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// begin makes the grant the beginning of a line, unless it is tried again and
// the attempt before, of unknown outcome, has done so. It does not heed an
// interrupt.
func (d *desk) begin(grant tokens.Grant, again bool) (generation uint64, _ error) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if again {
		if stored, _, err := d.store.Load(ctx); err == nil && stored.Grant.Same(grant) {
			return stored.Generation, nil
		}
	}
	return tokens.Begin(ctx, d.store, grant, d.seed())
}

var (
	errPatience    = errors.New("nobody answered in time")
	errInterrupted = errors.New("interrupted")
)

// gone says why a person is no longer waited for.
func (d *desk) gone(ctx context.Context, advice string) error {
	if errors.Is(context.Cause(ctx), errPatience) {
		return hint.With(fmt.Errorf("%w (%v)", errPatience, d.options.timeout), advice+"--timeout waits longer")
	}
	return hint.With(errInterrupted, "no token was asked for, and the state is as it was")
}

// A reading says what the token endpoint's answers mean to a person.
type reading struct {
	unknown string // what invalid_grant means
	cure    string // of that
	lost    string // what to do when no answer came
}

// explain puts a failed token request into words (RFC 6749, section 5.2).
func (d *desk) explain(err error, r reading) error {
	var e *tokens.IssuerError
	if !errors.As(err, &e) {
		return err
	}
	client := "check CLIENT_ID and CLIENT_SECRET of account " + d.account
	if d.client.Dialect.ClientAuth == issuer.AuthNone {
		client = "check CLIENT_ID of account " + d.account
	}
	again := "run ticketproxy login " + d.account + " again"
	switch e.Class {
	case tokens.Invalid:
		return hint.With(fmt.Errorf("%s: %w", r.unknown, err), r.cure)
	case tokens.NotSent:
		return hint.With(fmt.Errorf("asking the issuer: %w", err), "see that TOKEN_URL is right and can be reached, and "+again)
	case tokens.Throttled:
		if e.RetryAfter > 0 {
			again += fmt.Sprintf(" in %v", e.RetryAfter)
		}
		return hint.With(fmt.Errorf("the issuer asks for silence: %w", err), again)
	case tokens.Ambiguous:
		return hint.With(fmt.Errorf("the issuer gave no usable answer: %w", err), r.lost)
	}
	if e.Code == "invalid_client" || e.Code == "unauthorized_client" {
		return hint.With(fmt.Errorf("the issuer does not accept this client: %w", err), client)
	}
	return hint.With(fmt.Errorf("the issuer does not accept the request: %w", err), r.cure+"; or "+client+", and its TOKEN_URL")
}
