package proxy

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// bearer is the transport that adds the access token, and heals a 401: it asks
// for another token and sends the identical request once more.
type bearer struct {
	upstream *Upstream
	futile   futility
}

// drainLimit is how much of a refused answer is read to keep its connection.
const drainLimit = 16 << 10

// RoundTrip implements http.RoundTripper. A 401 with no other token to be had
// for it is the app's.
func (b *bearer) RoundTrip(req *http.Request) (res *http.Response, err error) {
	ctx := req.Context()
	x := exchangeOf(ctx)
	token, err := b.upstream.Source.Token(ctx)
	if err != nil {
		return nil, err
	}
	body := newReplay(req, x)
	x.body = body
	defer func() { body.settle(err != nil) }()
	res, err = b.send(req, token, body.body)
	if err != nil || res.StatusCode != http.StatusUnauthorized {
		return res, err
	}
	if b.futile.now(time.Now()) {
		if other, err := b.upstream.Source.Token(ctx); err != nil || other.AccessToken.Equal(token.AccessToken) {
			return res, nil
		}
	}
	if !body.rewind() {
		if _, err := b.upstream.Source.Renew(ctx, token); err == nil { // for the next request
			b.futile.add(time.Now()) // which is the first to tell
		}
		b.observe("unreplayable")
		return res, nil
	}
	fresh, err := b.upstream.Source.Renew(ctx, token)
	if err != nil {
		res.Body.Close()
		return nil, err
	}
	if fresh.AccessToken.Equal(token.AccessToken) { // some issuers give the same again
		body.abstain()
		b.futile.add(time.Now())
		b.observe("refused")
		return res, nil
	}
	io.CopyN(io.Discard, res.Body, drainLimit)
	res.Body.Close()

	again := req.WithContext(ctx)
	again.Header = req.Header.Clone() // the first attempt may still be written
	res, err = b.send(again, fresh, body.again)
	switch {
	case err != nil:
		b.observe("failed")
	case res.StatusCode == http.StatusUnauthorized:
		b.futile.add(time.Now())
		b.observe("refused")
	default:
		b.futile.clear()
		b.observe("healed")
	}
	return res, err
}

// maxAttempts bounds how many connections may turn out to be closed: some
// errors come before any is asked for, and would come again.
const maxAttempts = 4

// send is the only function that writes Authorization: it sets and never adds.
// It sends a request again that is known not to have gone out.
func (b *bearer) send(req *http.Request, token Token, body func() io.ReadCloser) (*http.Response, error) {
	x := exchangeOf(req.Context())
	req.Header["Authorization"] = []string{"Bearer " + token.AccessToken.Reveal()}
	began := time.Now()
	defer func() { x.upstream += time.Since(began) }()
	x.token = token.AccessToken
	x.sent.Store(false)
	for attempt := 1; ; attempt++ {
		if req.Body = body(); req.Body == nil {
			once(req, x)
		}
		res, err := b.upstream.Transport.RoundTrip(x.expect(req))
		if err == nil || attempt == maxAttempts || !x.unsent(req) {
			return res, err
		}
	}
}

func (b *bearer) observe(outcome string) {
	if b.upstream.Observer != nil {
		b.upstream.Observer.Replayed(outcome)
	}
}

// A futility remembers that fresh tokens were refused too: then a 401 means
// something else, and must not cost a refresh each time. Requests refused at a
// time count as one. The zero value is ready.
type futility struct {
	mu    sync.Mutex
	count int
	until time.Time
}

const (
	minFutile = time.Second
	maxFutile = 30 * time.Second // a token that is really revoked in that time stays unhealed
)

func (f *futility) add(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Before(f.until) {
		return
	}
	f.count++
	wait := minFutile
	for n := 1; n < f.count && wait < maxFutile; n++ {
		wait *= 2
	}
	f.until = now.Add(min(wait, maxFutile))
}

func (f *futility) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count, f.until = 0, time.Time{}
}

func (f *futility) now(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return now.Before(f.until)
}
