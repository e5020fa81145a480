package issuer

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/dialect"
)

const (
	defaultInterval = 5 * time.Second // RFC 8628, section 3.2
	maxShown        = 1024            // bytes of a text for the person
)

var errDeviceAnswer = errors.New("answer is not a device authorization response of RFC 8628, section 3.2")

// A DeviceAuthorization is an issuer's leave to ask for the grant that a person allows in
// a browser on any machine (RFC 8628, section 3.2). Its texts have only characters that a
// terminal prints as they are.
type DeviceAuthorization struct {
	UserCode        string    // the person enters it at VerificationURI
	VerificationURI string    // https, or http on loopback
	CompleteURI     string    // VerificationURI with the code in it; "" when the issuer has none
	Expiry          time.Time // the zero time when the issuer does not say
	Interval        time.Duration

	code secret.String
}

// AuthorizeDevice asks the issuer for a device code (RFC 8628, section 3.1). The error is
// a *tokens.IssuerError. Nothing is spent, whatever its class.
func (c *Client) AuthorizeDevice(ctx context.Context) (authorized DeviceAuthorization, _ error) {
	a := attempt{grant: dialect.GrantDeviceCode, secrets: []secret.String{c.config.ClientSecret}}
	params := url.Values{}
	maps.Copy(params, c.config.Params)
	if c.config.Scope != "" {
		params.Set("scope", c.config.Scope)
	}
	params.Set("client_id", c.config.ClientID) // required also with Basic
	deviceURL := func(d dialect.Dialect) string { return d.DeviceURL }
	err := c.post(ctx, a, deviceURL, params, func(a attempt, resp *http.Response) (err error) {
		text, broken, err := a.text(resp)
		if err != nil {
			return err
		}
		if broken != nil {
			return &tokens.IssuerError{Class: tokens.Ambiguous, Status: resp.StatusCode, Err: a.describe(broken, "answer")}
		}
		if authorized, err = a.readDevice(text); err != nil {
			return &tokens.IssuerError{Class: tokens.Ambiguous, Status: resp.StatusCode, Err: err}
		}
		return nil
	})
	return authorized, err
}

// readDevice reads a device authorization response. Some issuers, as Google, write
// verification_url.
func (a attempt) readDevice(text []byte) (d DeviceAuthorization, _ error) {
	m, _, clean := members(text, "device_code", "user_code", "verification_uri", "verification_url",
		"verification_uri_complete", "expires_in", "interval")
	code, ok := stringOf(m["device_code"])
	if !clean || !ok || code == "" || len(code) > maxToken {
		return d, errDeviceAnswer
	}
	d.code = secret.New(code)
	d.UserCode, _ = stringOf(m["user_code"])
	if d.VerificationURI, ok = stringOf(m["verification_uri"]); !ok {
		d.VerificationURI, _ = stringOf(m["verification_url"])
	}
	if !showable(d.UserCode) || !showable(d.VerificationURI) || !safeEndpoint(d.VerificationURI) {
		return d, errDeviceAnswer
	}
	if complete, _ := stringOf(m["verification_uri_complete"]); showable(complete) && safeEndpoint(complete) {
		d.CompleteURI = complete
	}
	if life := lifetimeOf(m["expires_in"]); life > 0 {
		d.Expiry = a.obtained.Add(life)
	}
	if d.Interval = lifetimeOf(m["interval"]); d.Interval == 0 {
		d.Interval = defaultInterval
	}
	return d, nil
}

// showable reports whether a terminal prints a text as it is, in one line.
func showable(text string) bool {
	return text != "" && len(text) <= maxShown &&
		!strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) })
}

// Device asks once for the grant of a device authorization (RFC 8628, section 3.4). The
// error is a *tokens.IssuerError. Its code is authorization_pending or slow_down while
// the person has not answered (section 3.5).
func (c *Client) Device(ctx context.Context, d DeviceAuthorization) (tokens.Grant, error) {
	return c.ask(ctx, dialect.GrantDeviceCode, map[string]secret.String{"device_code": d.code}, nil)
}
