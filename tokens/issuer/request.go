package issuer

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"ticketproxy/secret"
	"ticketproxy/tokens/dialect"
)

var (
	errTokenURL = errors.New("token URL is not valid")
	errNotUTF8  = errors.New("credentials are not UTF-8, which JSON cannot hold")
	errSealed   = errors.New("request was given up")
	errTooLate  = errors.New("process was stopped for longer than a token request may take")
)

// tokenParams returns the parameters of a token request (RFC 6749, section 3.2), without
// the client's authentication.
func (c *Client) tokenParams(
	grant dialect.GrantType,
	secrets map[string]secret.String,
	plain map[string]string,
) url.Values {
	params := url.Values{}
	maps.Copy(params, c.config.Params)
	params.Set("grant_type", string(grant))
	if c.config.Scope != "" && (grant == dialect.GrantPassword || grant == dialect.GrantClientCredentials) {
		params.Set("scope", c.config.Scope)
	}
	for name, value := range plain {
		params.Set(name, value)
	}
	for name, value := range secrets {
		params.Set(name, value.Reveal())
	}
	return params
}

// request makes a request to an endpoint at which the client authenticates (RFC 6749,
// section 3.2.1). It adds that authentication to the parameters. Its errors hold no part
// of the request.
func (c *Client) request(
	ctx context.Context,
	end time.Time,
	d dialect.Dialect,
	endpoint string,
	params url.Values,
) (*http.Request, *body, error) {
	basic := c.basic(d.ClientAuth)
	if basic == "" && c.config.ClientID != "" {
		params.Set("client_id", c.config.ClientID)
	}
	if d.ClientAuth == dialect.AuthBody && !c.config.ClientSecret.IsZero() {
		params.Set("client_secret", c.config.ClientSecret.Reveal())
	}
	text, mediaType, err := encode(d.Encoding, params)
	if err != nil {
		return nil, nil, err
	}

	// The body is of a type that net/http does not know, so there is no
	// GetBody, and nothing to send again.
	sent := &body{rest: text, deadline: end}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, sent)
	if err != nil || req.URL.Host == "" || req.URL.Scheme != "https" && req.URL.Scheme != "http" {
		return nil, nil, errTokenURL
	}
	req.ContentLength = int64(len(text))
	req.Close = true
	req.Header.Set("Content-Type", mediaType)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "identity") // without it any coding may come (RFC 9110, section 12.5.3)
	req.Header.Set("User-Agent", "ticketproxy")
	maps.Copy(req.Header, c.config.Headers)
	if basic != "" {
		req.Header.Set("Authorization", basic)
	}
	return req, sent, nil
}

// basic returns the Authorization of a client that authenticates by one; "" for other
// clients. RFC 6749, section 2.3.1, form-encodes id and secret first. RFC 7617 does not,
// and not every issuer undoes it.
func (c *Client) basic(auth dialect.ClientAuth) string {
	id, password := c.config.ClientID, c.config.ClientSecret.Reveal()
	switch auth {
	case dialect.AuthBasic:
		id, password = url.QueryEscape(id), url.QueryEscape(password)
	case dialect.AuthBasicPlain:
	default:
		return ""
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+password))
}

// encode returns the parameters, in the order of their names, and their media type. In
// JSON, a parameter of several values is an array.
func encode(encoding dialect.Encoding, params url.Values) ([]byte, string, error) {
	if encoding != dialect.EncodingJSON {
		return []byte(params.Encode()), "application/x-www-form-urlencoded", nil
	}
	object := map[string]any{}
	for name, values := range params {
		if !utf8.ValidString(name + strings.Join(values, "")) {
			return nil, "", errNotUTF8
		}
		object[name] = values
		if len(values) == 1 {
			object[name] = values[0]
		}
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(object); err != nil {
		return nil, "", errNotUTF8
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), "application/json", nil
}

// A body is the body of a token request, and the proof that the request was
// not sent. What may be spent (refresh token, code, password) is nowhere else
// in the request: as long as nobody has begun to read the body, no part of it
// can have left the process, and the issuer can have acted on nothing, even if
// it saw a header. That holds for every round tripper and protocol, where a
// hook which says that a header was written speaks of a buffer, and a count of
// the bytes on the connection counts a TLS handshake.
type body struct {
	mu       sync.Mutex
	rest     []byte
	deadline time.Time // after it nothing is begun: the process was stopped, and another may have taken over
	begun    bool
	sealed   bool
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sealed {
		return 0, errSealed
	}
	if !b.begun && b.late(time.Now()) {
		return 0, errTooLate
	}
	b.begun = true
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// late reports whether the deadline has passed, by the monotonic clock or, if
// that stood still while the machine slept, by the other one.
func (b *body) late(now time.Time) bool {
	return !(now.Before(b.deadline) && now.Round(0).Before(b.deadline.Round(0)))
}

func (b *body) Close() error {
	b.seal()
	return nil
}

// read reports whether somebody has begun to read it.
func (b *body) read() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.begun
}

// seal ends all reading, also by a writer that was left behind, and reports
// whether none had begun.
func (b *body) seal() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sealed = true
	return !b.begun
}
