package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/upstream"
)

// A row is what an app sends on one connection, and what must come of it.
type row struct {
	name  string
	setup func(*fixture) // nil: one upstream, any path, loopback's names
	raw   string
	// want is the answers' statuses, ours with their code. It ends with close
	// if the connection is closed then, and with waits if the app is expected
	// to send more; otherwise the connection must take a further request.
	want string
	seen string // everything that the upstreams got, see upstreamsAPI.records
	once bool   // sent at once only: not replayable, or not to be split
}

const (
	local = "Host: localhost\r\n\r\n"
	auth  = "Authorization: Bearer access-token-1"
)

// sent is a request's head as the API gets it, by default with no header but ours.
func sent(line string, header ...string) string {
	if len(header) == 0 {
		header = []string{auth}
	}
	return line + " HTTP/1.1\r\nHost: api.test\r\n" + strings.Join(header, "\r\n") + "\r\n\r\n"
}

// corpus sends each row in three ways: at once, byte by byte, and to an API
// that refuses the first token, so that each byte has to go out twice.
func corpus(t *testing.T, rows []row) {
	t.Parallel()
	names := map[string]bool{}
	for _, r := range rows {
		if names[r.name] {
			t.Errorf("two rows are called %q", r.name)
		}
		names[r.name] = true
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			for _, way := range []struct {
				name          string
				drip, refuses bool
			}{{name: "at once"}, {name: "byte by byte", drip: true}, {name: "healed", refuses: true}} {
				if (way.drip || way.refuses) && r.once || way.refuses && r.seen == "" {
					continue
				}
				t.Run(way.name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { r.run(t, way.drip, way.refuses) })
				})
			}
		})
	}
}

func (r row) run(t *testing.T, drip, refuses bool) {
	api := &upstreamsAPI{refuses: refuses}
	w := &fixture{TB: t, front: newMemory(), back: newMemory()}
	w.start(func(w *fixture) {
		w.upstream.Transport = upstream.New(upstream.Config{Timeout: time.Minute, Dial: api.dial})
		if r.setup != nil {
			r.setup(w)
		}
		w.Cleanup(w.upstream.Transport.(*upstream.Transport).CloseIdleConnections)
	})
	app := w.dial()
	var received lockedBuffer
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		io.Copy(&received, app.Conn)
	}()
	write := func(raw string) {
		go func() {
			size := len(raw)
			if drip {
				size = 1
			}
			for part := range slices.Chunk([]byte(raw), size) {
				if _, err := app.Conn.Write(part); err != nil {
					return
				}
			}
		}()
		time.Sleep(5 * time.Second) // longer than the wait for a 100, shorter than the wait for an app
		synctest.Wait()
	}

	write(r.raw)
	open := true
	select {
	case <-closed:
		open = false
	default:
	}
	waits := open && strings.HasSuffix(r.want, "waits")
	is(t, "answers", summary(t, received.take(), r.raw, open, waits), r.want)
	if waits {
		app.Close()
		synctest.Wait()
	}
	records := api.take()
	if want := r.seen; refuses {
		if len(records) == 0 || !strings.HasPrefix(want, records[0]) {
			t.Errorf("the API first got\n%q, want the beginning of\n%q", records, want)
		} else if got, want := strings.Join(records[1:], ""), strings.ReplaceAll(want, token(1), token(2)); got != want {
			t.Errorf("the API then got\n%q, want\n%q", got, want)
		}
	} else if got := strings.Join(records, ""); got != want {
		t.Errorf("the API got\n%q, want\n%q", got, want)
	}

	if open && !waits { // neither the proxy nor the API has bytes left over
		write("GET /park/next HTTP/1.1\r\n" + local)
		is(t, "answer to the next request", summary(t, received.take(), "GET", true, false), "200")
		if next := api.take(); len(next) != 1 || !strings.Contains(next[0], "/next HTTP/1.1\r\n") || strings.Count(next[0], "\r\n") != 4 {
			t.Errorf("of the next request the API got %q", next)
		}
	}
	app.Close()
	synctest.Wait()
	if late := api.take(); len(late) > 0 {
		t.Errorf("after the app left, the API got %q", late)
	}
	for _, what := range api.wrong {
		t.Error(what)
	}
}

// summary reads all answers and returns them in the form of a row's want.
func summary(t *testing.T, answers []byte, raw string, open, waits bool) string {
	t.Helper()
	if bytes.Contains(answers, []byte("access-token")) {
		t.Errorf("the app got the token: %q", answers)
	}
	method := "GET"
	if strings.HasPrefix(raw, "HEAD ") {
		method = "HEAD"
	}
	var got []string
	r := bufio.NewReader(bytes.NewReader(answers))
	announced := !open
	for {
		if _, err := r.Peek(1); err == io.EOF {
			break
		}
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			got = append(got, fmt.Sprintf("no answer: %q", answers))
			break
		}
		if res.StatusCode == http.StatusSwitchingProtocols {
			return "101, waits"
		}
		body := read(t, res)
		code := res.Header.Get(inbound.ErrorHeader)
		if code != "" {
			is(t, "type of our answer", res.Header.Get("Content-Type"), "application/problem+json")
		} else if res.StatusCode == http.StatusOK && method != "HEAD" && res.Header.Get("Pragma") == "" {
			is(t, "the API's answer", body, "ok")
		}
		if res.StatusCode/100 != 1 {
			method, announced = "GET", res.Close
		}
		got = append(got, strings.TrimSpace(strconv.Itoa(res.StatusCode)+" "+code))
	}
	switch {
	case !open:
		got = append(got, "close")
	case waits:
		got = append(got, "waits")
	}
	if !waits { // an app that was answered may still have to send
		is(t, "the last answer announces the connection's end", announced, !open)
	}
	return strings.Join(got, ", ")
}

// An upstreamsAPI plays every upstream. It parses as strictly as it can, shares no code
// with net/http, and records what it got.
type upstreamsAPI struct {
	refuses bool // answers the first token with 401

	mu      sync.Mutex
	records []string // requests as they were written, with a body's chunks joined to one
	wrong   []string // faults that no row may cause
}

func (a *upstreamsAPI) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	records := a.records
	a.records = nil
	return records
}

func (a *upstreamsAPI) note(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wrong = append(a.wrong, fmt.Sprintf(format, args...))
}

func (a *upstreamsAPI) dial(_ context.Context, _, address string) (net.Conn, error) {
	here, there := net.Pipe()
	go a.serve(there, address)
	return here, nil
}

func (a *upstreamsAPI) serve(c net.Conn, address string) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		head, err := readHead(r)
		if head == "" {
			return
		}
		header := a.check(head, address)
		body := ""
		if err == nil {
			body, err = readBody(r, header)
		}
		a.mu.Lock()
		a.records = append(a.records, head+body)
		a.mu.Unlock()
		if err != nil {
			if err != io.EOF && err != io.ErrUnexpectedEOF && err != io.ErrClosedPipe {
				a.note("the API got %v in %q", err, head+body)
			}
			return
		}
		switch refused := a.refuses && strings.Contains(head, "\r\n"+auth+"\r\n"); {
		case refused:
			io.WriteString(c, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
		case header["upgrade"] != nil:
			io.WriteString(c, "HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: "+header["upgrade"][0]+"\r\n\r\n")
			io.Copy(io.Discard, r)
			return
		case strings.HasPrefix(head, "HEAD "):
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
		default:
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}
}

// check notes what is wrong with the head of a request, and returns its header with
// names in lower case. It also reads an underscore as a hyphen, as some servers do.
func (a *upstreamsAPI) check(head, address string) map[string][]string {
	header, loose := map[string][]string{}, map[string][]string{}
	lines := strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")
	if words := strings.Split(lines[0], " "); len(words) != 3 || words[2] != "HTTP/1.1" || words[1] == "" {
		a.note("request line %q", lines[0])
	}
	for _, line := range lines[1:] {
		name, value, found := strings.Cut(line, ": ")
		if !found || name == "" || strings.ContainsAny(name, " \t:") || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			a.note("header %q", line)
		}
		name = strings.ToLower(name)
		header[name] = append(header[name], value)
		name = strings.ReplaceAll(name, "_", "-")
		loose[name] = append(loose[name], value)
	}
	if got := loose["authorization"]; len(got) != 1 || got[0] != bearer(1) && got[0] != bearer(2) {
		a.note("Authorization %q", got)
	}
	for _, name := range []string{"proxy-authorization", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "trailer"} {
		if loose[name] != nil {
			a.note("%s: %q", name, loose[name])
		}
	}
	host, _, _ := net.SplitHostPort(address)
	if got := header["host"]; len(got) != 1 || got[0] != host || !slices.Contains([]string{"api.test", "shop.test"}, host) {
		a.note("Host %q at %s", got, address)
	}
	return header
}

// readHead reads a request's line and header with the empty line after them.
func readHead(r *bufio.Reader) (string, error) {
	var head strings.Builder
	for !strings.HasSuffix(head.String(), "\r\n\r\n") {
		line, err := r.ReadString('\n')
		head.WriteString(line)
		if err != nil {
			return head.String(), err
		}
		if strings.Count(line, "\r") != 1 || !strings.HasSuffix(line, "\r\n") {
			return head.String(), errors.New("a line that does not end in CR LF")
		}
	}
	return head.String(), nil
}

// readBody reads a body as its header frames it. Chunks are returned as one.
func readBody(r *bufio.Reader, header map[string][]string) (string, error) {
	length, encoding := header["content-length"], header["transfer-encoding"]
	switch {
	case len(length)+len(encoding) > 1:
		return "", errors.New("a body framed twice")
	case len(length) == 1:
		n, err := strconv.ParseUint(length[0], 10, 32)
		if err != nil || strconv.FormatUint(n, 10) != length[0] {
			return "", errors.New("a malformed length")
		}
		b := make([]byte, n)
		got, err := io.ReadFull(r, b)
		return string(b[:got]), err
	case len(encoding) == 1 && encoding[0] == "chunked":
		return readChunks(r)
	case len(encoding) == 1:
		return "", errors.New("another encoding")
	}
	return "", nil
}

func readChunks(r *bufio.Reader) (string, error) {
	var body strings.Builder
	asOne := func(end string) string {
		if body.Len() == 0 {
			return end
		}
		return fmt.Sprintf("%x\r\n%s\r\n%s", body.Len(), body.String(), end)
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return asOne(line), err
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(line, "\r\n"), 16, 32)
		if err != nil || fmt.Sprintf("%x\r\n", n) != line {
			return asOne(line), errors.New("a malformed chunk size")
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return asOne(line + string(b)), err
		}
		if string(b[n:]) != "\r\n" {
			return asOne(line + string(b)), errors.New("a chunk without an end, or a trailer")
		}
		if n == 0 {
			return asOne("0\r\n\r\n"), nil
		}
		body.Write(b[:n])
	}
}

// A lockedBuffer is written by one goroutine and emptied by another.
type lockedBuffer struct {
	mu  sync.Mutex
	buf []byte
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf = append(b.buf, p...)
	return len(p), nil
}

func (b *lockedBuffer) take() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	buf := b.buf
	b.buf = nil
	return buf
}
