package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A message is a request or an answer as it was written, apart from the chunk sizes.
type message struct {
	line     string
	header   []field
	body     string
	trailers []field
}

// A field is a header line.
type field struct{ name, value string }

// get returns the first value of a header, or "" if there is none.
func (m message) get(name string) string {
	for _, f := range m.header {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

func readHead(r *bufio.Reader) (message, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return message{}, err
	}
	header, err := readFields(r)
	return message{line: strings.TrimRight(line, "\r\n"), header: header}, err
}

func readFields(r *bufio.Reader) ([]field, error) {
	var all []field
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return all, err
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return all, nil
		}
		name, value, _ := strings.Cut(line, ":")
		all = append(all, field{name, strings.Trim(value, " \t")})
	}
}

// readBody reads the body that the header announces. Otherwise an answer's body ends
// when the connection closes, and a request has no body.
func (m *message) readBody(r *bufio.Reader, untilEnd bool) error {
	var body []byte
	var err error
	switch length := m.get("Content-Length"); {
	case strings.EqualFold(m.get("Transfer-Encoding"), "chunked"):
		if body, err = io.ReadAll(httputil.NewChunkedReader(r)); err == nil {
			m.trailers, err = readFields(r)
		}
	case length != "":
		n, bad := strconv.Atoi(length)
		if bad != nil {
			return bad
		}
		body = make([]byte, n)
		_, err = io.ReadFull(r, body)
	case untilEnd:
		body, err = io.ReadAll(r)
	}
	m.body = string(body)
	return err
}

// An exchange is one request, as the API received it, and the answer to the app.
type exchange struct {
	requests []message // more than one if the proxy retried
	interim  []message
	answer   message
	broken   string // why the answer is incomplete
}

// A rawAPI is an API that records requests as they were written, and answers with
// given bytes.
type rawAPI struct {
	listener net.Listener
	all      sync.WaitGroup

	mu        sync.Mutex
	conns     map[net.Conn]bool
	requests  []message
	reply     string
	closeConn bool // after the reply
}

func startRawAPI(t *testing.T) *rawAPI {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	api := &rawAPI{listener: l, conns: map[net.Conn]bool{}}
	api.all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			api.mu.Lock()
			api.conns[c] = true
			api.mu.Unlock()
			api.all.Go(func() { api.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		api.mu.Lock()
		for c := range api.conns {
			c.Close()
		}
		api.mu.Unlock()
		api.all.Wait()
	})
	return api
}

func (api *rawAPI) address() string { return api.listener.Addr().String() }

func (api *rawAPI) serve(c net.Conn) {
	defer func() {
		api.mu.Lock()
		defer api.mu.Unlock()
		delete(api.conns, c)
		c.Close()
	}()
	r := bufio.NewReader(c)
	for {
		m, err := readHead(r)
		if err != nil {
			return
		}
		if m.get("Expect") != "" {
			io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		err = m.readBody(r, false)
		api.mu.Lock()
		api.requests = append(api.requests, m)
		reply, closeConn := api.reply, api.closeConn
		api.mu.Unlock()
		if err != nil {
			return
		}
		if strings.HasPrefix(m.line, "HEAD ") {
			head, _, _ := strings.Cut(reply, "\r\n\r\n")
			reply = head + "\r\n\r\n"
		}
		if _, err := io.WriteString(c, reply); err != nil || closeConn {
			return
		}
	}
}

// An exchangeCase is one request and the API's answer to it.
type exchangeCase struct {
	name, send, reply string
	closeConn         bool
}

// rawTimeout is longer than any answer takes.
const rawTimeout = 2 * time.Second

// exchange sends a request to an address that leads to the rawAPI.
func (api *rawAPI) exchange(address string, c exchangeCase) exchange {
	api.mu.Lock()
	api.requests, api.reply, api.closeConn = nil, c.reply, c.closeConn
	api.mu.Unlock()
	var x exchange
	if err := x.send(address, c.send); err != nil {
		x.broken = broken(err)
	}
	api.mu.Lock()
	defer api.mu.Unlock()
	x.requests = slices.Clone(api.requests)
	return x
}

// broken describes an error without addresses.
func broken(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the connection ends"
	}
	return fmt.Sprintf("%T", err)
}

func (x *exchange) send(address, raw string) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(rawTimeout))
	if _, err := io.WriteString(c, raw); err != nil {
		return err
	}
	method, _, _ := strings.Cut(raw, " ")
	for r := bufio.NewReader(c); ; {
		m, err := readHead(r)
		if err != nil {
			return err
		}
		_, status, _ := strings.Cut(m.line, " ")
		if strings.HasPrefix(status, "1") && !strings.HasPrefix(status, "101") {
			x.interim = append(x.interim, m)
			continue
		}
		x.answer = m
		if method == "HEAD" || strings.HasPrefix(status, "204") || strings.HasPrefix(status, "304") {
			return nil
		}
		return x.answer.readBody(r, true)
	}
}
