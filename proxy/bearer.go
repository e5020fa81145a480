package proxy

import (
	"context"
	"io"
	"net/http"
	"time"
)

// bearer is the transport that adds the access token. When the API refuses the
// token, it gets another one and sends the identical request once more.
type bearer struct {
	forwarder *forwarder
}

// drainLimit is how much of a refused answer is read to keep its connection.
const drainLimit = 16 << 10

// RoundTrip implements http.RoundTripper.
func (b *bearer) RoundTrip(req *http.Request) (res *http.Response, err error) {
	ctx := req.Context()
	x := stateOf(ctx)
	token, err := b.forwarder.Source.Token(ctx)
	if err != nil {
		return nil, err
	}
	body := newReplayBody(req, x)
	x.body = body
	defer func() { body.close(err != nil) }()
	res, err = b.send(req, token, body.first())
	if err != nil || !b.forwarder.refuses(res.StatusCode) && res.StatusCode != http.StatusForbidden {
		return res, err
	}
	fresh, ok, err := b.retryToken(ctx, res.StatusCode, token, body.reserve())
	switch {
	case err != nil:
		if ctx.Err() == nil { // otherwise the app has left
			b.observe(ctx, "failed")
		}
		res.Body.Close()
		return nil, err
	case !ok:
		body.release()
		return res, nil
	}
	io.CopyN(io.Discard, res.Body, drainLimit)
	res.Body.Close()

	again := req.WithContext(ctx)
	again.Header = req.Header.Clone() // the first attempt may still be written
	res, err = b.send(again, fresh, body.rewind())
	switch {
	case err != nil:
		b.observe(ctx, "failed")
	case b.forwarder.refuses(res.StatusCode):
		b.refused(ctx, fresh)
	case res.StatusCode == http.StatusForbidden:
		b.observe(ctx, "refused")
	default:
		b.observe(ctx, "healed")
	}
	return res, err
}

// retryToken returns the token with which to send a request again that the API
// refused, and false where the answer is the app's. A 401, or a status of
// UpstreamConfig.RefusedStatus, may cause a refresh. Any other 403 never does: it
// refuses a token only where that is no longer the current one, since some issuers
// revoke a token when they give the next one. A request that is not replayable is not sent again, but its 401 may
// still get the next request a new token.
func (b *bearer) retryToken(ctx context.Context, status int, token Token, replayable bool) (Token, bool, error) {
	var fresh Token
	var err error
	if !b.forwarder.refuses(status) {
		if fresh, err = b.forwarder.Source.Token(ctx); err != nil || fresh.Generation == token.Generation {
			return Token{}, false, nil
		}
	} else if fresh, err = b.forwarder.Source.Renew(ctx, token); err != nil && replayable {
		return Token{}, false, err
	}
	switch {
	case err != nil || !replayable:
		b.observe(ctx, "unreplayable")
	case fresh.Generation == token.Generation:
		b.observe(ctx, "paused")
	case fresh.AccessToken.Equal(token.AccessToken): // some issuers give the same again
		b.refused(ctx, fresh)
	default:
		return fresh, true, nil
	}
	return Token{}, false, nil
}

// refused reports a token that the API refused although it was new.
func (b *bearer) refused(ctx context.Context, token Token) {
	b.forwarder.Source.Refused(token)
	b.observe(ctx, "refused")
}

// send is the only function that writes Authorization. It sets the header and never
// adds to it.
func (b *bearer) send(req *http.Request, token Token, body io.ReadCloser) (*http.Response, error) {
	x := stateOf(req.Context())
	req.Header["Authorization"] = b.forwarder.credentials(token)
	req.Body = body
	x.token = token
	began := time.Now()
	defer func() { x.upstream += time.Since(began) }()
	return b.forwarder.Transport.RoundTrip(req)
}

// credentials returns the value of the header field that bears a token (RFC 6750, section 2.1). It is
// made once for each token, and must not be changed.
func (u *forwarder) credentials(token Token) []string {
	last := u.bears.Load()
	if last == nil || last.token.Generation != token.Generation || !last.token.AccessToken.Equal(token.AccessToken) {
		last = &borne{token, []string{"Bearer " + token.AccessToken.Reveal()}}
		u.bears.Store(last)
	}
	return last.value
}

// A borne is a token, and the value of the header field that bears it.
type borne struct {
	token Token
	value []string
}

func (b *bearer) observe(ctx context.Context, outcome string) {
	b.forwarder.Observer.Replayed(ctx, outcome)
}
