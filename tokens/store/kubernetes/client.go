package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxAnswer bounds an answer. A Secret is at most 1 MiB, and its JSON some more.
const maxAnswer = 8 << 20

// requestTimeout bounds a request and its answer, besides the caller's own deadline.
const requestTimeout = 10 * time.Second

// A client talks to one API server. Safe for concurrent use.
type client struct {
	server    *url.URL
	namespace string // where a Secret without a namespace is
	pod       string // as podOf returns it
	transport http.RoundTripper
	// authorize adds the credentials. It reads them again for each request, because
	// they are replaced while the program runs.
	authorize func(context.Context, *http.Request) error

	quiet quiet
}

// errNotSent says that the server cannot have the request.
var errNotSent = errors.New("the API server did not get the request")

// maxQuiet bounds how long the API server is left alone after it asked for it.
const maxQuiet = 30 * time.Second

// errQuiet says that the API server asked to be left alone, and that time is not over.
var errQuiet = fmt.Errorf("%w: it asked to be left alone for a while", errNotSent)

// A quiet is the time in which the API server is not asked. Its priority and fairness
// answers 429 with Retry-After (kubernetes.io, "API Priority and Fairness"). Safe for
// concurrent use.
type quiet struct {
	mu    sync.Mutex
	until time.Time
}

func (q *quiet) now() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return time.Now().Before(q.until)
}

// begin notes an answer that asks for silence.
func (q *quiet) begin(res *http.Response) {
	seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if res.StatusCode != http.StatusTooManyRequests || err != nil || seconds <= 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.until = time.Now().Add(min(time.Duration(seconds)*time.Second, maxQuiet))
}

// A statusError is an answer of the API server that is no success (a Status of the API).
type statusError struct {
	code    int
	reason  string // of the Status: Forbidden, NotFound, Conflict …
	message string // of the Status; it names verb, resource and user
}

func (e *statusError) Error() string {
	if e.message == "" {
		return fmt.Sprintf("the API server answered %d", e.code)
	}
	return fmt.Sprintf("the API server answered %d: %s", e.code, e.message)
}

// isStatus reports whether err is an answer with that code.
func isStatus(err error, code int) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && e.code == code
}

// A sentBody notes that somebody has begun to read a request's body. As long as nobody has,
// the server has not got the request.
type sentBody struct {
	io.ReadCloser
	begun atomic.Bool
}

func (b *sentBody) Read(p []byte) (int, error) {
	b.begun.Store(true)
	return b.ReadCloser.Read(p)
}

// do makes a request, and decodes the answer of a success into a value. The error is a
// *statusError for another answer, and errNotSent when the request did not go out. Any
// other error leaves open whether the server has acted.
func (c *client) do(ctx context.Context, method, path, contentType string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	res, err := c.send(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the API server's answer: %w", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return errors.New("the API server's answer is not the JSON that was asked for")
	}
	return nil
}

// send sends a request, and returns the answer of a success. While the server wants to be
// left alone, the error is errQuiet.
func (c *client) send(ctx context.Context, method, path, contentType string, body any) (*http.Response, error) {
	if c.quiet.now() {
		return nil, errQuiet
	}
	var content io.Reader = http.NoBody
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotSent, err)
		}
		content = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.server.String()+path, content)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "ticketproxy")
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if err := c.authorize(ctx, req); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	sent := &sentBody{ReadCloser: req.Body}
	req.Body = sent
	req.GetBody = nil // nothing is sent twice
	res, err := c.transport.RoundTrip(req)
	if err != nil {
		err = adviseTLS(err)
		if method != http.MethodGet && !sent.begun.Load() {
			return nil, fmt.Errorf("%w: %w", errNotSent, err)
		}
		return nil, fmt.Errorf("asking the API server: %w", err)
	}
	if res.StatusCode/100 != 2 {
		defer res.Body.Close()
		c.quiet.begin(res)
		return nil, readStatus(res)
	}
	return res, nil
}

// readStatus reads the Status of a failure. A body of another form is left out, since it may
// come from something in front of the API server.
func readStatus(res *http.Response) error {
	e := &statusError{code: res.StatusCode}
	var status struct {
		Kind    string `json:"kind"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err == nil && json.Unmarshal(data, &status) == nil && status.Kind == "Status" {
		e.reason, e.message = status.Reason, strings.ToValidUTF8(status.Message, "")
	}
	return e
}
