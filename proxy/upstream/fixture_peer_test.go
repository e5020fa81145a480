package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A peer is the upstream's end of a connection.
type peer struct {
	testing.TB
	net.Conn
	below net.Conn // the same without TLS
	r     *bufio.Reader
}

// request reads a request, and its body.
func (p *peer) request() (*http.Request, string) {
	p.Helper()
	req := p.header()
	body, err := io.ReadAll(req.Body)
	if err != nil {
		p.Fatalf("the upstream reads the body: %v", err)
	}
	return req, string(body)
}

// header reads a request's header.
func (p *peer) header() *http.Request {
	p.Helper()
	p.SetReadDeadline(time.Now().Add(patience()))
	req, err := http.ReadRequest(p.r)
	if err != nil {
		p.Fatalf("the upstream reads a request: %v", err)
	}
	return req
}

// say sends bytes.
func (p *peer) say(text string) {
	p.Helper()
	p.SetWriteDeadline(time.Now().Add(patience()))
	if _, err := io.WriteString(p.Conn, text); err != nil {
		p.Errorf("the upstream answers: %v", err)
	}
}

// answers answers a request, and reports whether there was one. An empty text is the request's body.
func (p *peer) answers(text string) bool {
	req, err := http.ReadRequest(p.r)
	if err != nil {
		return false
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return false
	}
	if text == "" {
		text = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	_, err = p.Write([]byte(text))
	return err == nil
}

// rest returns all bytes until the connection ends.
func (p *peer) rest() string {
	p.Helper()
	p.SetReadDeadline(time.Now().Add(patience()))
	b, err := io.ReadAll(p.r)
	if errors.Is(err, context.DeadlineExceeded) || err != nil && strings.Contains(err.Error(), "timeout") {
		p.Errorf("the connection stays open: %v", err)
	}
	return string(b)
}

// serve answers one request with ok.
func (p *peer) serve() {
	p.Helper()
	p.request()
	p.say(ok)
}

// chunk is a part of a chunked body.
func chunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }
