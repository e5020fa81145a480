package proxy_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/proxy/upstream"
)

// lines returns n header lines of size bytes each.
func lines(n, size int) string {
	var b strings.Builder
	for i := range n {
		name := "X" + strconv.FormatInt(int64(i), 36)
		fmt.Fprintf(&b, "%s:%s\r\n", name, strings.Repeat("x", max(size-len(name)-3, 0)))
	}
	return b.String()
}

const okay = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"

// TestAnswersHeaderIsBounded checks that an answer's header takes 1 MiB of memory at
// most. Its bytes, its lines and the interim answers before it count; its body does
// not.
func TestAnswersHeaderIsBounded(t *testing.T) {
	t.Parallel()
	const hint = "HTTP/1.1 103 Early Hints\r\n"
	for name, test := range map[string]struct {
		answer string
		good   bool
	}{
		"64 KiB":                        {okay + lines(64, 1024) + "\r\nok", true},
		"300 KiB in one line":           {okay + lines(1, 300<<10) + "\r\nok", true},
		"600 KiB in one line":           {okay + lines(1, 600<<10) + "\r\nok", false},
		"600 KiB without an end":        {okay + "X: " + strings.Repeat("x", 600<<10), false},
		"3000 lines":                    {okay + lines(3000, 8) + "\r\nok", true},
		"4000 lines":                    {okay + lines(4000, 8) + "\r\nok", false},
		"lines of one name":             {okay + strings.Repeat("a:\r\n", 4000) + "\r\nok", false},
		"lines that end with LF":        {strings.ReplaceAll(okay+lines(4000, 8)+"\r\nok", "\r", ""), false},
		"1000 interim answers":          {strings.Repeat(hint+"\r\n", 1000) + okay + "\r\nok", true},
		"2000 interim answers":          {strings.Repeat(hint+"\r\n", 2000) + okay + "\r\nok", false},
		"long interim answers":          {strings.Repeat(hint+lines(1, 100<<10)+"\r\n", 6) + okay + "\r\nok", false},
		"interim answers, oddly spaced": {strings.Repeat("HTTP/1.1      103 x\n\n", 2000) + okay + "\r\nok", false},
		"a body of lines":               {"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + strings.Repeat("\r\n", 1000000), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := beginRaw(t, answering(test.answer), func(w *fixture) {
				w.upstream.Transport = upstream.New(upstream.Config{Timeout: time.Minute, Dial: w.back.DialContext, Answers: upstream.NewAnswerMemory(1 << 20)})
			})
			for range 2 { // on the same connection, where the answer is good
				res, body := w.do("GET", "/", nil)
				if test.good {
					is(t, "status", res.StatusCode, 200)
					continue
				}
				p := problem(t, res, body, 502, "upstream_unreachable")
				is(t, "detail", p.Detail, "the upstream's answer is broken: its header is too long, or has too many lines")
			}
		})
	}
}

// TestAnswersHeaderIsBoundedOverTLS checks the same over TLS, which another dialer
// makes.
func TestAnswersHeaderIsBoundedOverTLS(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := range 5000 {
			w.Header()["X"+strconv.Itoa(i)] = []string{""}
		}
	}))
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	w := begin(t, http.NotFoundHandler(), func(w *fixture) {
		w.upstream.URL = parse(w, "https://example.com")
		w.upstream.Transport = upstream.New(upstream.Config{Timeout: time.Minute, Roots: pool, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", s.Listener.Addr().String())
		}})
	})
	res, body := w.do("GET", "/", nil)
	if p := problem(t, res, body, 502, "upstream_unreachable"); !strings.Contains(p.Detail, "too many lines") {
		t.Errorf("detail: got %q", p.Detail)
	}
}

// TestLongAnswersWaitForMemory sends 50 answers with 64 KiB of header, which share less
// memory than all may take. They wait for one another, and all reach their apps, also
// while half of them stay open.
func TestLongAnswersWaitForMemory(t *testing.T) {
	t.Parallel()
	hold := make(chan bool)
	w := beginRaw(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			io.WriteString(c, okay+lines(64, 1024)+"\r\n")
			if req.URL.Path == "/held" {
				<-hold
			}
			io.WriteString(c, "ok")
		}
	}, func(w *fixture) {
		w.upstream.Transport = upstream.New(upstream.Config{Timeout: time.Minute, Dial: w.back.DialContext, Answers: upstream.NewAnswerMemory(5 << 20)})
	})
	var held, all sync.WaitGroup
	for i := range 50 {
		path := []string{"/", "/held"}[i%2]
		if path == "/held" {
			held.Add(1)
		}
		all.Go(func() {
			res := w.open("GET", path, nil)
			if path == "/held" {
				held.Done()
			}
			is(t, "status", res.StatusCode, 200)
			is(t, "body", read(t, res), "ok")
		})
	}
	held.Wait()
	close(hold)
	all.Wait()
}

// A long header waits for some seconds while another answer uses the memory. A short
// one does not wait.
func TestLongAnswerFindsNoMemory(t *testing.T) {
	virtual(t, func(t *testing.T) {
		release := make(chan bool)
		w := &fixture{TB: t, front: newMemory(), back: newMemory()}
		w.serveConns(func(c net.Conn) {
			r := bufio.NewReader(c)
			for {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				switch req.URL.Path {
				case "/stuck": // within its header
					io.WriteString(c, okay+lines(64, 1024))
					<-release
					io.WriteString(c, "\r\nok")
				case "/long":
					io.WriteString(c, okay+lines(64, 1024)+"\r\nok")
				default:
					io.WriteString(c, okay+"\r\nok")
				}
			}
		})
		w.start(func(w *fixture) {
			w.upstream.Transport = upstream.New(upstream.Config{Timeout: time.Minute, Dial: w.back.DialContext, Answers: upstream.NewAnswerMemory(1 << 20)})
		})
		done := make(chan int)
		go func() {
			res, _ := w.do("GET", "/stuck", nil)
			done <- res.StatusCode
		}()
		synctest.Wait()
		began := time.Now()
		res, body := w.do("GET", "/long", nil)
		p := problem(t, res, body, 502, "upstream_unreachable")
		is(t, "detail", p.Detail, "the upstream's answer has a long header, and so have too many other answers")
		is(t, "waited", time.Since(began), 5*time.Second)
		res, _ = w.do("GET", "/short", nil)
		is(t, "short", res.StatusCode, 200)
		close(release)
		is(t, "stuck", <-done, 200)
		res, _ = w.do("GET", "/long", nil)
		is(t, "long, later", res.StatusCode, 200)
	})
}

// TestAppLeavesWhileItsAnswerWaitsForMemory checks that such a request ends at once, when it has been
// served for so long that its connection is watched.
func TestAppLeavesWhileItsAnswerWaitsForMemory(t *testing.T) {
	virtual(t, func(t *testing.T) {
		release := make(chan bool)
		w := &fixture{TB: t, front: newMemory(), back: newMemory()}
		w.serveConns(func(c net.Conn) {
			r := bufio.NewReader(c)
			if _, err := http.ReadRequest(r); err == nil {
				io.WriteString(c, okay+lines(64, 1024))
				<-release
			}
		})
		w.start(func(w *fixture) {
			w.upstream.Transport = upstream.New(upstream.Config{Timeout: time.Minute, Dial: w.back.DialContext, Answers: upstream.NewAnswerMemory(1 << 20)})
		})
		first, second := w.dial(), w.dial()
		for _, c := range []*appConn{first, second} {
			c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
			synctest.Wait()
		}
		time.Sleep(50 * time.Millisecond)
		began := time.Now()
		second.Close()
		synctest.Wait()
		is(t, "counted as", w.observer.exchanges[0].Status, 499)
		is(t, "at once", time.Since(began), 0)
		first.Close()
		synctest.Wait()
		close(release)
	})
}
