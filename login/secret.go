package login

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"ticketproxy/hint"
	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/dialect"
)

// byPassword asks for a user name and a password and sends them to the issuer once (RFC
// 6749, section 4.3). The password is in no variable, flag or file: it is typed without
// being shown, or comes from a pipe.
func (f *Flow) byPassword(ctx context.Context) (tokens.Grant, error) {
	p := f.prompt()
	username := f.Options.Username
	if username == "" {
		answer, err := p.ask(ctx, "User name at "+f.Client.Dialect().Name+": ", false)
		if err != nil {
			return tokens.Grant{}, f.promptError(ctx, "user name", err)
		}
		username = strings.TrimSpace(answer)
	}
	answer, err := p.ask(ctx, "Password (it is not shown, and not kept): ", true)
	if err != nil {
		return tokens.Grant{}, f.promptError(ctx, "password", err)
	}
	password := secret.New(answer)
	if username == "" || password.IsZero() {
		return tokens.Grant{}, hint.With(
			errors.New("user name or password is empty"),
			"give both, each on a line of its own",
		)
	}
	grant, err := f.Client.Password(context.WithoutCancel(ctx), username, password)
	return grant, f.describe(err, errorTexts{
		unknown: "user name or password is wrong",
		hint: "try them on the website of " + f.Client.Dialect().Name +
			", then run ticketproxy login " + f.Account + " again",
		lost: "run ticketproxy login " + f.Account + " again",
	})
}

// byToken takes a refresh token that a person has, and tests it by one refresh (RFC 6749,
// section 6). The answer is the grant.
func (f *Flow) byToken(ctx context.Context) (tokens.Grant, error) {
	pasted, err := f.readToken(ctx)
	if err != nil {
		return tokens.Grant{}, err
	}
	if err := f.inUse(ctx, pasted); err != nil {
		return tokens.Grant{}, err
	}
	grant, err := f.Client.Refresh(context.WithoutCancel(ctx), pasted)
	if err != nil {
		return tokens.Grant{}, f.describe(err, errorTexts{
			unknown: "the issuer does not know this refresh token",
			hint: "copy the whole token, or make a new one; it must be of the client that " +
				f.Names.Prefix + "CLIENT_ID names, and not be " +
				"used elsewhere",
			lost: "run ticketproxy login " + f.Account + " again with the same token; if it is refused, it was spent: " +
				"make a new one",
		})
	}
	if grant.RefreshToken.IsZero() {
		grant.RefreshToken = pasted
	}
	if f.Client.Dialect().Rotation == dialect.RotationMaybe && !grant.RefreshToken.Equal(pasted) {
		grant.Fallback = pasted
	}
	return grant, nil
}

// inUse refuses a refresh token that the account uses or has spent: a running instance
// may be spending it now, and at a second use some issuers revoke the tokens of the
// first (RFC 9700, section 4.14.2).
func (f *Flow) inUse(ctx context.Context, pasted secret.String) error {
	record, _, err := f.Store.Load(ctx)
	if err != nil || record.Dead != nil {
		return nil // nothing to protect
	}
	known := pasted.Equal(record.Grant.RefreshToken) || pasted.Equal(record.Grant.Fallback) ||
		pasted.Hash() == record.Seed || slices.Contains(record.Spent, pasted.Hash())
	if known {
		return hint.With(
			errors.New("the account has this refresh token already, and is not known to be dead"),
			"there is nothing to do; to start again, make a new refresh token",
		)
	}
	return nil
}

// readToken reads the refresh token.
func (f *Flow) readToken(ctx context.Context) (secret.String, error) {
	var text string
	if path := f.Options.TokenFile; path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return secret.String{}, hint.With(
				fmt.Errorf("reading the refresh token: %w", err),
				"name a file that holds the token and nothing else",
			)
		}
		text = string(data)
	} else {
		answer, err := f.prompt().ask(ctx, "Refresh token of "+f.Client.Dialect().Name+", pasted (it is not shown): ", true)
		if err != nil {
			return secret.String{}, f.promptError(ctx, "refresh token", err)
		}
		text = answer
	}
	text = strings.TrimSpace(text)
	// VSCHAR (RFC 6749, appendix A.17).
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return secret.String{}, hint.With(
			errors.New("that is no refresh token: it is empty, or holds a character that no token has"),
			"copy it again, on one line, without quotation marks",
		)
	}
	return secret.New(text), nil
}

// promptError explains why there is no answer to a question.
func (f *Flow) promptError(ctx context.Context, what string, err error) error {
	switch {
	case ctx.Err() != nil, errors.Is(err, errInterrupted):
		return fmt.Errorf("asking for the %s: %w", what, f.waitError(ctx, ""))
	case errors.Is(err, io.EOF):
		return hint.With(
			fmt.Errorf("asking for the %s: the input has ended", what),
			"run it in a terminal, or pipe the answers to it, each on a line of its own",
		)
	}
	return fmt.Errorf("asking for the %s: %w", what, err)
}
