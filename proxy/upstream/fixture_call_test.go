package upstream

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// A call is a request that is under way.
type call struct {
	testing.TB
	res  *http.Response
	body string
	err  error // of RoundTrip, or of the answer's body
	done chan struct{}
}

// begin sends a request and reads its answer to its end.
func begin(t testing.TB, transport http.RoundTripper, req *http.Request) *call {
	c := &call{TB: t, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		if c.res, c.err = transport.RoundTrip(req); c.err != nil {
			return
		}
		defer c.res.Body.Close()
		var b []byte
		b, c.err = io.ReadAll(c.res.Body)
		c.body = string(b)
	}()
	return c
}

// end waits for the end of the call.
func (c *call) end() error {
	c.Helper()
	select {
	case <-c.done:
	case <-time.After(patience()):
		c.Fatal("the call does not end")
	}
	return c.err
}

// want waits for an answer with this body.
func (c *call) want(body string) {
	c.Helper()
	if err := c.end(); err != nil {
		c.Errorf("the call failed: %v", err)
	} else if c.body != body {
		c.Errorf("the answer is %q, want %q", c.body, body)
	}
}

func (c *call) fails(with error) {
	c.Helper()
	if err := c.end(); !errors.Is(err, with) {
		c.Errorf("the call ended with %v, want %v", err, with)
	}
}

// A body is a request's body that a test writes. It counts how often it was closed.
type body struct {
	io.Reader
	closed atomic.Int32
}

func (b *body) Close() error {
	b.closed.Add(1)
	if c, ok := b.Reader.(io.Closer); ok {
		c.Close()
	}
	return nil
}
