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

// A tap carries connections to a server byte by byte, and notes what passes.
type tap struct {
	address string
	to      string

	mu          sync.Mutex
	connections int
	passed      []*passage
}

// A passage is a request that went through a tap, and its answer.
type passage struct {
	method string
	host   string
	url    *url.URL
	header http.Header
	status int    // 0 while there is no answer
	code   string // of Ticketproxy-Error
}

// startTap listens at an address, until the test ends, for a server that need
// not run yet.
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
			go p.carry(c.(*net.TCPConn))
		}
	}()
	return p
}

func (p *tap) carry(near *net.TCPConn) {
	defer near.Close()
	p.mu.Lock()
	p.connections++
	p.mu.Unlock()
	c, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	far := c.(*net.TCPConn)
	defer far.Close()
	var directions sync.WaitGroup
	asked := make(chan *passage, 64)
	directions.Go(func() { pass(far, near, func(r *bufio.Reader) { p.noteRequests(r, asked) }) })
	directions.Go(func() { pass(near, far, func(r *bufio.Reader) { p.noteAnswers(r, asked) }) })
	directions.Wait()
}

// pass copies one direction, which note sees too.
func pass(to, from *net.TCPConn, note func(*bufio.Reader)) {
	seen, copied := io.Pipe()
	var noted sync.WaitGroup
	noted.Go(func() {
		r := bufio.NewReader(seen)
		note(r)
		io.Copy(io.Discard, r) // what is no HTTP any more
	})
	if _, err := io.Copy(to, io.TeeReader(from, copied)); err == nil {
		to.CloseWrite()
	} else { // neither side may wait for the other
		to.Close()
		from.Close()
	}
	copied.Close()
	noted.Wait()
}

func (p *tap) noteRequests(r *bufio.Reader, asked chan<- *passage) {
	defer close(asked)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		now := &passage{method: req.Method, host: req.Host, url: req.URL, header: req.Header}
		p.mu.Lock()
		p.passed = append(p.passed, now)
		p.mu.Unlock()
		asked <- now
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
	}
}

func (p *tap) noteAnswers(r *bufio.Reader, asked <-chan *passage) {
	for now := range asked {
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
	for range asked { // so that requests are still noted
	}
}

// passages returns what has passed.
func (p *tap) passages() []passage {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]passage, len(p.passed))
	for i, one := range p.passed {
		all[i] = *one
	}
	return all
}

func (p *tap) accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connections
}
