package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
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
	"testing/iotest"

	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
)

const replayLimit = 1 << 20

// A visit is a request as the API saw it.
type visit struct {
	authorization string
	header        http.Header
	encoding      []string
	length        int64
	body          []byte
}

// accepts is an API that knows one token. It reads bodies whole before it
// answers, if told so.
type accepts struct {
	authorization string
	readFirst     bool

	mu     sync.Mutex
	visits []visit
}

func (a *accepts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := visit{r.Header.Get("Authorization"), r.Header.Clone(), r.TransferEncoding, r.ContentLength, nil}
	known := v.authorization == a.authorization
	if a.readFirst || known {
		v.body, _ = io.ReadAll(r.Body)
	}
	a.mu.Lock()
	a.visits = append(a.visits, v)
	a.mu.Unlock()
	if !known {
		if !a.readFirst {
			w.Header().Set("Connection", "close") // or the server would read the body before it answers
		}
		w.Header().Set("Www-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, strings.Repeat("no", 1000))
		return
	}
	fmt.Fprint(w, len(v.body))
}

func (a *accepts) seen() []visit {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.visits)
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func TestUnauthorizedIsHealedUnseen(t *testing.T) {
	t.Parallel()
	for _, size := range []int{-1, 0, 1, 5000, 300_000, replayLimit - 1, replayLimit} {
		for _, chunked := range []bool{false, true} {
			for _, readFirst := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d chunked=%v readFirst=%v", size, chunked, readFirst), func(t *testing.T) {
					t.Parallel()
					api := &accepts{authorization: bearer(2), readFirst: readFirst}
					w := begin(t, api)
					var sent []byte
					var body io.Reader
					method := "GET"
					if size >= 0 {
						method, sent = "POST", random(size)
						body = bytes.NewReader(sent)
						if chunked {
							body = io.MultiReader(body)
						}
					}
					res, answer := w.do(method, "/", body, "Company", "a", "Company", "b", "Idempotency-Key", "k")
					is(t, "status", res.StatusCode, 200)
					is(t, "answer", answer, strconv.Itoa(len(sent)))
					is(t, "outcome", w.observer.outcomes(), "healed")
					visits := api.seen()
					is(t, "visits", len(visits), 2)
					last := visits[len(visits)-1]
					if !bytes.Equal(last.body, sent) {
						t.Error("the replayed body is another")
					}
					for _, v := range visits {
						if got := v.header["Company"]; !slices.Equal(got, []string{"a", "b"}) {
							t.Errorf("Company: got %q", got)
						}
					}
					is(t, "length", last.length, visits[0].length)
					is(t, "encoding", fmt.Sprint(last.encoding), fmt.Sprint(visits[0].encoding))
					_, refreshes := w.source.counts()
					is(t, "refreshes", refreshes, 1)
				})
			}
		}
	}
}

// The API refuses at once, and the app takes its time: what it has yet to send
// goes to the second attempt, though the first waits for it too.
func TestRefusedBeforeTheBodyWasSent(t *testing.T) {
	t.Parallel()
	api := &accepts{authorization: bearer(2)}
	w := begin(t, api)
	body, send := io.Pipe()
	renewed := make(chan bool)
	w.source.refresh = func(context.Context) error { close(renewed); return nil }
	sent := random(3 * replayLimit) // what is sent late needs no keeping
	go func() {
		send.Write(sent[:1000])
		<-renewed
		io.Copy(send, iotest.HalfReader(bytes.NewReader(sent[1000:])))
		send.Close()
	}()
	res, answer := w.do("POST", "/", body)
	is(t, "status", res.StatusCode, 200)
	is(t, "answer", answer, strconv.Itoa(len(sent)))
	if v := api.seen(); !bytes.Equal(v[len(v)-1].body, sent) {
		t.Error("the replayed body is another")
	}
}

func TestOverTheReplayLimit(t *testing.T) {
	t.Parallel()
	for _, chunked := range []bool{false, true} {
		api := &accepts{authorization: bearer(2), readFirst: true}
		w := begin(t, api)
		var body io.Reader = bytes.NewReader(random(replayLimit + 1))
		if chunked {
			body = io.MultiReader(body)
		}
		res, answer := w.do("POST", "/", body)
		is(t, "status", res.StatusCode, 401)
		is(t, "answer", answer, strings.Repeat("no", 1000))
		is(t, "mark", res.Header.Get(inbound.ErrorHeader), "")
		is(t, "challenge", res.Header.Get("Www-Authenticate"), "Bearer")
		is(t, "outcome", w.observer.outcomes(), "unreplayable")
		is(t, "visits", len(api.seen()), 1)
		res, _ = w.do("POST", "/", strings.NewReader("next"))
		is(t, "next status", res.StatusCode, 200)
	}
}

func TestSecondUnauthorizedIsTheApps(t *testing.T) {
	t.Parallel()
	api := &accepts{readFirst: true}
	w := begin(t, api)
	res, answer := w.do("POST", "/", strings.NewReader("x"))
	is(t, "status", res.StatusCode, 401)
	is(t, "answer", answer, strings.Repeat("no", 1000))
	is(t, "mark", res.Header.Get(inbound.ErrorHeader), "")
	is(t, "visits", len(api.seen()), 2)
	is(t, "outcome", w.observer.outcomes(), "refused")
}

func TestManyAreHealedByOneRefresh(t *testing.T) {
	t.Parallel()
	api := &accepts{authorization: bearer(2)}
	w := begin(t, api)
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			sent := string(random(10_000))
			if res, err := w.app.Post("http://localhost/", "", strings.NewReader(sent)); err != nil {
				t.Error(err)
			} else {
				is(t, "status", res.StatusCode, 200)
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
	all.Wait()
	_, refreshes := w.source.counts()
	is(t, "refreshes", refreshes, 1)
}

func TestRenewFails(t *testing.T) {
	t.Parallel()
	for code, err := range map[string]*proxy.TokenError{
		"token_unavailable": {Detail: "the issuer is asked again soon"},
		"login_required":    {LoginRequired: true, Detail: "run ticketproxy login park"},
	} {
		w := begin(t, new(accepts))
		w.source.refresh = func(context.Context) error { return err }
		res, body := w.do("POST", "/", strings.NewReader("x"))
		is(t, "status", res.StatusCode, 503)
		is(t, "mark", res.Header.Get(inbound.ErrorHeader), code)
		var p inbound.Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatal(err)
		}
		is(t, "detail", p.Detail, err.Detail)
		is(t, "Retry-After", res.Header.Get("Retry-After"), map[string]string{"token_unavailable": "1"}[code])
	}
}

func TestAppThatLeavesDuringRenew(t *testing.T) {
	t.Parallel()
	w := begin(t, &accepts{readFirst: true}) // the server watches for the end once the body is read
	waiting, left := make(chan bool), make(chan error, 1)
	w.source.refresh = func(ctx context.Context) error {
		close(waiting)
		<-ctx.Done()
		left <- ctx.Err()
		return ctx.Err()
	}
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx")
	<-waiting
	c.Close()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("Renew ended with %v", err)
	}
	w.server.Drain(t.Context())
	is(t, "counted as", w.observer.exchanges[0].Status, 499)
}

// A body's trailers are known once it was read, but are not part of it.
func TestBodyTrailersAreNotSent(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 2)
	w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		seen <- r.Trailer
		if r.Header.Get("Authorization") != bearer(2) {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	w.ask("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n")
	for range 2 {
		is(t, "trailers", len(<-seen), 0)
	}
}

// Expect is answered by the API: it may refuse before any of the body is sent.
func TestRefusedBeforeContinue(t *testing.T) {
	t.Parallel()
	w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != bearer(2) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
	}))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	is(t, "first", c.receive("POST").StatusCode, 100)
	c.send("body")
	res := c.receive("POST")
	for res.StatusCode == 100 { // the API's own, besides the server's
		res = c.receive("POST")
	}
	is(t, "status", res.StatusCode, 200)
	is(t, "answer", read(t, res), "body")
}

func TestContinueIsNotAskedOfARefusedApp(t *testing.T) {
	t.Parallel()
	w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	res, _ := w.ask("POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	is(t, "status", res.StatusCode, 401)
}

// Where no refresh may be made, a 401 is the app's, and the request goes out once.
func TestUnauthorizedInAPauseIsTheApps(t *testing.T) {
	t.Parallel()
	api := &accepts{readFirst: true}
	w := begin(t, api)
	w.source.paused = true
	res, answer := w.do("POST", "/", strings.NewReader("x"))
	is(t, "status", res.StatusCode, 401)
	is(t, "answer", answer, strings.Repeat("no", 1000))
	is(t, "mark", res.Header.Get(inbound.ErrorHeader), "")
	is(t, "visits", len(api.seen()), 1)
	is(t, "outcome", w.observer.outcomes(), "paused")
}

// The account is told of each new token that the API refuses, since that is
// what its pauses grow by.
func TestRefusedNewTokenIsReported(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fixed  bool
		visits int
	}{"another token": {false, 2}, "the same token again": {true, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := &accepts{readFirst: true}
			w := begin(t, api, func(w *world) { w.source.fixed = c.fixed })
			res, answer := w.do("POST", "/", strings.NewReader("x"))
			is(t, "status", res.StatusCode, 401)
			is(t, "answer", answer, strings.Repeat("no", 1000))
			is(t, "visits", len(api.seen()), c.visits)
			is(t, "outcome", w.observer.outcomes(), "refused")
			is(t, "reported", fmt.Sprint(w.source.refused), "[2]")
		})
	}
}

// A request was under way while its token was replaced, and the issuer revoked
// the old one: a 401 or 403 to it costs no refresh, and is not the app's.
func TestTokenReplacedOnTheWayIsSentAgain(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 403} {
		for name, c := range map[string]struct {
			body     int
			paused   bool
			accepts  uint64
			want     int
			outcome  string
			requests int
		}{
			"healed":         {10, false, 2, 200, "healed", 2},
			"in a pause":     {10, true, 2, 200, "healed", 2},
			"refused again":  {10, false, 9, status, "refused", 2},
			"not replayable": {replayLimit + 1, false, 2, status, "unreplayable", 1},
		} {
			t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
				t.Parallel()
				var w *world
				requests := 0
				w = begin(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					requests++
					w.source.mu.Lock()
					w.source.generation = 2
					w.source.mu.Unlock()
					if r.Header.Get("Authorization") != bearer(c.accepts) {
						rw.WriteHeader(status)
					}
				}), func(w *world) { w.source.paused = c.paused })
				res, _ := w.do("POST", "/", bytes.NewReader(make([]byte, c.body)))
				is(t, "status", res.StatusCode, c.want)
				is(t, "outcome", w.observer.outcomes(), c.outcome)
				is(t, "requests at the API", requests, c.requests)
				_, refreshes := w.source.counts()
				is(t, "refreshes", refreshes, 0)
			})
		}
	}
}

// A 403 to the current token says nothing about the token.
func TestForbiddenIsTheApps(t *testing.T) {
	t.Parallel()
	requests := 0
	w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "no rights")
	}))
	res, body := w.do("POST", "/", strings.NewReader("body"))
	is(t, "status", res.StatusCode, 403)
	is(t, "answer", body, "no rights")
	is(t, "requests at the API", requests, 1)
	is(t, "outcome", w.observer.outcomes(), "")
	renewals, _ := w.source.counts()
	is(t, "renewals", renewals, 0)
}

func TestReplayIsNotSentOverABrokenBody(t *testing.T) {
	t.Parallel()
	visits := make(chan string, 4)
	w := beginRaw(t, func(c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		visits <- req.Header.Get("Authorization")
		if req.Header.Get("Authorization") == bearer(1) {
			io.WriteString(c, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
		}
		if _, err := io.ReadAll(req.Body); err == nil {
			visits <- "a whole body"
		}
	})
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
	is(t, "first", <-visits, bearer(1))
	is(t, "second", <-visits, bearer(2))
	c.Close()
	w.server.Drain(t.Context())
	is(t, "further visits", len(visits), 0)
}

// The 401 that is the app's is passed on whole, though its body would have been
// sent again.
func TestAnswerOfAFutileRefreshIsWhole(t *testing.T) {
	t.Parallel()
	why := strings.Repeat("why ", 1_000_000)
	for name, head := range map[string]string{
		"waiting to be asked": "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n",
		"still sending":       "Content-Length: 500000\r\n\r\nbody",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 5 { // of each world the first asks for another token
				w := beginRaw(t, refusing("HTTP/1.1 401 Unauthorized\r\nContent-Length: "+strconv.Itoa(len(why))+"\r\n\r\n"+why), func(w *world) { w.source.fixed = true })
				c := w.dial()
				c.send("%s", "POST / HTTP/1.1\r\nHost: localhost\r\n"+head)
				res := c.receive("POST")
				is(t, "status", res.StatusCode, 401)
				is(t, "answer is whole", read(t, res) == why, true)
				c.Close()
			}
		})
	}
}
