package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"ticketproxy/proxy/upstream"
)

// answering is an API that answers every request with the same bytes.
func answering(answer string) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			io.WriteString(c, answer)
		}
	}
}

// TestHopByHopFieldsOfAnAnswerAreDropped checks that the app gets no hop-by-hop field of
// an upstream's answer (RFC 9110, section 7.6.1).
func TestHopByHopFieldsOfAnAnswerAreDropped(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{
		"named":                               "Connection: X-Hop\r\nX-Hop: 1",
		"named in a list":                     "Connection: keep-alive, x-hop ,X-Other\r\nX-Hop: 1\r\nX-Other: 2",
		"named on two lines":                  "Connection: X-Other\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-Other: 2",
		"named after an empty line":           "Connection:\r\nConnection: X-Hop\r\nX-Hop: 1",
		"known by name":                       "Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nProxy-Connection: keep-alive\r\nTe: trailers",
		"an upgrade offer":                    "Connection: Upgrade\r\nUpgrade: h2c",
		"an upgrade offer, not in Connection": "Upgrade: foo",
		"close":                               "Connection: close",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := beginRaw(t, answering("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\nTrailers: no special name\r\nX-Many: 1\r\nX-Many: 2\r\n"+header+"\r\n\r\nok"))
			c := w.dial()
			c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
			res := c.receive("GET")
			is(t, "body", read(t, res), "ok")
			is(t, "close", res.Close, false)
			is(t, "Trailers", res.Header.Get("Trailers"), "no special name")
			is(t, "X-Many", strings.Join(res.Header["X-Many"], ","), "1,2")
			if got := slices.DeleteFunc(names(res.Header), func(n string) bool {
				return slices.Contains([]string{"Date", "Content-Length", "Trailers", "X-Many"}, n)
			}); len(got) > 0 {
				t.Errorf("the app got %q", got)
			}
		})
	}
}

func names(h http.Header) (all []string) {
	for name := range h {
		all = append(all, name)
	}
	return all
}

// Each interim answer goes through as it came. The next answer has none of its fields.
func TestInterimAnswersGoThrough(t *testing.T) {
	t.Parallel()
	w := beginRaw(t, answering("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n"+
		"HTTP/1.1 102 Processing\r\nX-Step: 1\r\n\r\n"+
		"HTTP/1.1 103 Early Hints\r\nLink: </c>\r\n\r\n"+
		"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\nLink: </d>\r\n\r\nok"))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	for _, want := range []string{
		"103 map[Link:[</a> </b>]]", "102 map[X-Step:[1]]", "103 map[Link:[</c>]]", "200 map[Content-Length:[2] Date:[x] Link:[</d>]]",
	} {
		res := c.receive("GET")
		is(t, "answer", fmt.Sprint(res.StatusCode, " ", res.Header), want)
	}
}

// Header fields that are removed from an answer are removed from interim answers too.
func TestInterimAnswersAreCleaned(t *testing.T) {
	t.Parallel()
	w := beginRaw(t, answering("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nSet-Cookie: a=b\r\nTicketproxy-Error: draining\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n"+
		"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\n\r\nok"), func(w *fixture) { w.upstream.Cookies = false })
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	is(t, "interim answer", fmt.Sprint(c.receive("GET").Header), "map[Link:[</a>]]")
	is(t, "answer", fmt.Sprint(c.receive("GET").Header), "map[Content-Length:[2] Date:[x]]")
}

// Interim answers may still come in when the exchange has ended.
func TestInterimAnswersWhenTheAppLeaves(t *testing.T) {
	t.Parallel()
	w := beginRaw(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		for {
			if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"); err != nil {
				return
			}
		}
	})
	for range 10 {
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		c.receive("GET")
		c.Close()
	}
	w.server.Drain(t.Context())
}

// Each part of an answer is passed on when it comes, and the header before the body.
func TestAnswersAreFlushedAtOnce(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{
		"events":                    "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n",
		"events in a character set": "Content-Type: text/event-stream;charset=utf-8\r\nTransfer-Encoding: chunked\r\n",
		"events of known length":    "Content-Type: text/event-stream\r\nContent-Length: 10\r\n",
		"unknown length":            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n",
		"known length":              "Content-Type: application/json\r\nContent-Length: 10\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				w := &fixture{TB: t, front: newMemory(), back: newMemory()}
				part := func(text string) string {
					if strings.Contains(header, "chunked") {
						return "5\r\n" + text + "\r\n"
					}
					return text
				}
				w.serveConns(func(c net.Conn) {
					if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
						return
					}
					io.WriteString(c, "HTTP/1.1 200 OK\r\n"+header+"\r\n")
					for _, text := range []string{"first", "final"} {
						time.Sleep(time.Minute)
						io.WriteString(c, part(text))
					}
					if strings.Contains(header, "chunked") {
						io.WriteString(c, "0\r\n\r\n")
					}
				})
				w.start()
				c := w.dial()
				began := time.Now()
				c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
				res := c.receive("GET")
				if took := time.Since(began); took > 10*time.Millisecond {
					t.Errorf("header after %v", took)
				}
				got := make([]byte, 5)
				for i, text := range []string{"first", "final"} {
					if _, err := io.ReadFull(res.Body, got); err != nil {
						t.Fatal(err)
					}
					is(t, "part", string(got), text)
					if took := time.Since(began) - time.Duration(i+1)*time.Minute; took > 10*time.Millisecond {
						t.Errorf("%s passed on after %v", text, took)
					}
				}
				is(t, "rest", read(t, res), "")
			})
		})
	}
}

// An answer that breaks off while the app still sends ends only that app's connection.
func TestUpstreamDiesWithinItsAnswerDuringAnUpload(t *testing.T) {
	t.Parallel()
	w := beginRaw(t, func(c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		if req.Method == "GET" {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			return
		}
		io.CopyN(io.Discard, req.Body, 100_000)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
	})
	for range 5 {
		res, err := w.app.Post("http://localhost/", "", strings.NewReader(strings.Repeat("x", 2<<20)))
		if err == nil {
			if b, err := io.ReadAll(res.Body); err == nil && res.StatusCode != 502 { // 502 when the upload is seen to break first
				t.Errorf("the answer ended cleanly after %q", b)
			}
			res.Body.Close()
		}
		_, body := w.do("GET", "/", nil)
		is(t, "next answer", body, "ok")
	}
}

// What has arrived of an answer goes to the app, although the answer breaks off.
func TestPartOfABrokenAnswerArrives(t *testing.T) {
	for _, status := range []string{"200 OK", "404 Not Found"} {
		t.Run(status, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				w := &fixture{TB: t, front: newMemory(), back: newMemory()}
				w.serveConns(func(c net.Conn) {
					if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
						io.WriteString(c, "HTTP/1.1 "+status+"\r\nContent-Length: 10\r\n\r\npart")
					}
				})
				w.start()
				c := w.dial()
				c.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
				res := c.receive("GET")
				b, err := io.ReadAll(res.Body)
				is(t, "status", res.Status, status)
				is(t, "body", string(b), "part")
				is(t, "end", err, io.ErrUnexpectedEOF)
			})
		})
	}
}

// An app that waits for a 100 is answered although no upstream can be reached.
func TestContinueWithNoUpstream(t *testing.T) {
	t.Parallel()
	w := begin(t, http.NotFoundHandler(), func(w *fixture) {
		w.upstream.Transport = upstream.New(upstream.Config{Timeout: time.Minute, Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		}})
	})
	res, body := w.ask("POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	problem(t, res, body, 502, "upstream_unreachable")
}
