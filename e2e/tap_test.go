package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
)

// A tap relays connections to a server byte by byte, and records the requests and
// answers.
type tap struct {
	address string
	to      string

	mu          sync.Mutex
	connections int
	seen        []*tappedRequest
}

// A tappedRequest is a request through a tap, and its answer.
type tappedRequest struct {
	method string
	host   string
	url    *url.URL
	header http.Header
	status int    // 0 before there is an answer
	code   string // of Ticketproxy-Error
}

// startTap listens at an address until the test ends. The server need not run yet.
func startTap(t *testing.T, address, to string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &tap{address: l.Addr().String(), to: to}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.relay(c.(*net.TCPConn))
		}
	}()
	return p
}

func (p *tap) relay(client *net.TCPConn) {
	defer client.Close()
	p.mu.Lock()
	p.connections++
	p.mu.Unlock()
	c, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	server := c.(*net.TCPConn)
	defer server.Close()
	var directions sync.WaitGroup
	pending := make(chan *tappedRequest, 64)
	directions.Go(func() { copyAndNote(server, client, func(r *bufio.Reader) { p.noteRequests(r, pending) }) })
	directions.Go(func() { copyAndNote(client, server, func(r *bufio.Reader) { p.noteAnswers(r, pending) }) })
	directions.Wait()
}

// copyAndNote copies one direction, and passes a copy to note.
func copyAndNote(to, from *net.TCPConn, note func(*bufio.Reader)) {
	seen, copied := io.Pipe()
	var noted sync.WaitGroup
	noted.Go(func() {
		r := bufio.NewReader(seen)
		note(r)
		io.Copy(io.Discard, r) // data after an upgrade or a broken message
	})
	if _, err := io.Copy(to, io.TeeReader(from, copied)); err == nil {
		to.CloseWrite()
	} else { // so that neither side waits for the other
		to.Close()
		from.Close()
	}
	copied.Close()
	noted.Wait()
}

func (p *tap) noteRequests(r *bufio.Reader, pending chan<- *tappedRequest) {
	defer close(pending)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		now := &tappedRequest{method: req.Method, host: req.Host, url: req.URL, header: req.Header}
		p.mu.Lock()
		p.seen = append(p.seen, now)
		p.mu.Unlock()
		pending <- now
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
	}
}

func (p *tap) noteAnswers(r *bufio.Reader, pending <-chan *tappedRequest) {
	for now := range pending {
		status := 0
		for status < http.StatusOK && status != http.StatusSwitchingProtocols {
			res, err := http.ReadResponse(r, &http.Request{Method: now.method})
			if err != nil {
				break
			}
			status = res.StatusCode
			p.mu.Lock()
			now.status, now.code = status, res.Header.Get("Ticketproxy-Error")
			p.mu.Unlock()
			io.Copy(io.Discard, res.Body)
		}
		if status == 0 || status == http.StatusSwitchingProtocols {
			break
		}
	}
	for range pending { // keeps noteRequests from blocking
	}
}

// requests returns the requests seen so far.
func (p *tap) requests() []tappedRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]tappedRequest, len(p.seen))
	for i, one := range p.seen {
		all[i] = *one
	}
	return all
}

func (p *tap) accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connections
}
