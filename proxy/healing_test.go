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

// An apiRequest is a request as the API saw it.
type apiRequest struct {
	authorization string
	header        http.Header
	encoding      []string
	length        int64
	body          []byte
}

// A oneTokenAPI accepts one token. With readFirst it reads the whole body before it
// answers.
type oneTokenAPI struct {
	authorization string
	readFirst     bool

	mu       sync.Mutex
	requests []apiRequest
}

func (a *oneTokenAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := apiRequest{r.Header.Get("Authorization"), r.Header.Clone(), r.TransferEncoding, r.ContentLength, nil}
	known := v.authorization == a.authorization
	if a.readFirst || known {
		v.body, _ = io.ReadAll(r.Body)
	}
	a.mu.Lock()
	a.requests = append(a.requests, v)
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

func (a *oneTokenAPI) seen() []apiRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.requests)
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
					api := &oneTokenAPI{authorization: bearer(2), readFirst: readFirst}
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
					requests := api.seen()
					is(t, "requests", len(requests), 2)
					last := requests[len(requests)-1]
					if !bytes.Equal(last.body, sent) {
						t.Error("the replayed body differs")
					}
					for _, v := range requests {
						if got := v.header["Company"]; !slices.Equal(got, []string{"a", "b"}) {
							t.Errorf("Company: got %q", got)
						}
					}
					is(t, "length", last.length, requests[0].length)
					is(t, "encoding", fmt.Sprint(last.encoding), fmt.Sprint(requests[0].encoding))
					_, refreshes := w.source.counts()
					is(t, "refreshes", refreshes, 1)
				})
			}
		}
	}
}

// The API refuses before the app has sent its body. The rest of the body goes to the
// second attempt, though the first waits for it too.
func TestRefusedBeforeTheBodyWasSent(t *testing.T) {
	t.Parallel()
	api := &oneTokenAPI{authorization: bearer(2)}
	w := begin(t, api)
	body, send := io.Pipe()
	renewed := make(chan bool)
	w.source.refresh = func(context.Context) error { close(renewed); return nil }
	sent := random(3 * replayLimit) // what is sent late need not be kept
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
		t.Error("the replayed body differs")
	}
}

func TestOverTheReplayLimit(t *testing.T) {
	t.Parallel()
	for _, chunked := range []bool{false, true} {
		api := &oneTokenAPI{authorization: bearer(2), readFirst: true}
		w := begin(t, api)
		var body io.Reader = bytes.NewReader(random(replayLimit + 1))
		if chunked {
			body = io.MultiReader(body)
		}
		res, answer := w.do("POST", "/", body)
		is(t, "status", res.StatusCode, 401)
		is(t, "answer", answer, strings.Repeat("no", 1000))
		is(t, "error header", res.Header.Get(inbound.ErrorHeader), "")
		is(t, "challenge", res.Header.Get("Www-Authenticate"), "Bearer")
		is(t, "outcome", w.observer.outcomes(), "unreplayable")
		is(t, "requests", len(api.seen()), 1)
		res, _ = w.do("POST", "/", strings.NewReader("next"))
		is(t, "next status", res.StatusCode, 200)
	}
}

func TestSecondUnauthorizedIsPassedOn(t *testing.T) {
	t.Parallel()
	api := &oneTokenAPI{readFirst: true}
	w := begin(t, api)
	res, answer := w.do("POST", "/", strings.NewReader("x"))
	is(t, "status", res.StatusCode, 401)
	is(t, "answer", answer, strings.Repeat("no", 1000))
	is(t, "error header", res.Header.Get(inbound.ErrorHeader), "")
	is(t, "requests", len(api.seen()), 2)
	is(t, "outcome", w.observer.outcomes(), "refused")
}

func TestManyAreHealedByOneRefresh(t *testing.T) {
	t.Parallel()
	api := &oneTokenAPI{authorization: bearer(2)}
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
		w := begin(t, new(oneTokenAPI))
		w.source.refresh = func(context.Context) error { return err }
		res, body := w.do("POST", "/", strings.NewReader("x"))
		is(t, "status", res.StatusCode, 503)
		is(t, "error header", res.Header.Get(inbound.ErrorHeader), code)
		var p inbound.Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatal(err)
		}
		is(t, "detail", p.Detail, err.Detail)
		is(t, "Retry-After", res.Header.Get("Retry-After"), map[string]string{"token_unavailable": "1"}[code])
		is(t, "outcome", w.observer.outcomes(), "failed")
	}
}

func TestAppThatLeavesDuringRenew(t *testing.T) {
	t.Parallel()
	w := begin(t, &oneTokenAPI{readFirst: true}) // the server notices a closed connection once the body is read
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
	is(t, "outcome", w.observer.outcomes(), "")
}

// A body's trailers are not sent, though they are known once the body was read.
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

// The API answers Expect, and may refuse before any of the body is sent.
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

func TestRefusedAppIsNotAskedForItsBody(t *testing.T) {
	t.Parallel()
	w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	res, _ := w.ask("POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	is(t, "status", res.StatusCode, 401)
}

// While refreshes are paused, the API's 401 is passed on, and the request goes out once.
func TestUnauthorizedInAPauseIsPassedOn(t *testing.T) {
	t.Parallel()
	api := &oneTokenAPI{readFirst: true}
	w := begin(t, api)
	w.source.paused = true
	res, answer := w.do("POST", "/", strings.NewReader("x"))
	is(t, "status", res.StatusCode, 401)
	is(t, "answer", answer, strings.Repeat("no", 1000))
	is(t, "error header", res.Header.Get(inbound.ErrorHeader), "")
	is(t, "requests", len(api.seen()), 1)
	is(t, "outcome", w.observer.outcomes(), "paused")
}

// Each new token that the API refuses is reported to the account, whose pauses grow by it.
func TestRefusedNewTokenIsReported(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fixed    bool
		requests int
	}{"another token": {false, 2}, "the same token again": {true, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := &oneTokenAPI{readFirst: true}
			w := begin(t, api, func(w *fixture) { w.source.fixed = c.fixed })
			res, answer := w.do("POST", "/", strings.NewReader("x"))
			is(t, "status", res.StatusCode, 401)
			is(t, "answer", answer, strings.Repeat("no", 1000))
			is(t, "requests", len(api.seen()), c.requests)
			is(t, "outcome", w.observer.outcomes(), "refused")
			is(t, "reported", fmt.Sprint(w.source.refused), "[2]")
		})
	}
}

// A request's token was replaced and revoked while the request was under way. A 401 or
// 403 to it costs no refresh, and the request is sent again with the new token.
func TestRequestIsSentAgainWhenItsTokenWasReplaced(t *testing.T) {
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
				var w *fixture
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
				}), func(w *fixture) { w.source.paused = c.paused })
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

// A status of REFUSED_STATUS is healed as 401 is, and no other is.
func TestRefusedStatusIsHealed(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int{401: 200, 403: 200, 419: 200, 404: 404, 500: 500} {
		w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if io.Copy(io.Discard, r.Body); r.Header.Get("Authorization") == bearer(1) {
				w.WriteHeader(status)
			}
		}), func(w *fixture) { w.upstream.RefusedStatus = []int{403, 419} })
		res, _ := w.do("POST", "/", strings.NewReader("body"))
		is(t, fmt.Sprint(status, " becomes"), res.StatusCode, want)
		outcome, refreshed := "", 0
		if want == 200 {
			outcome, refreshed = "healed", 1
		}
		is(t, "outcome", w.observer.outcomes(), outcome)
		_, refreshes := w.source.counts()
		is(t, "refreshes", refreshes, refreshed)
	}
}

// A token that is refused by a status of REFUSED_STATUS twice is told to its source.
func TestRefusedStatusTwice(t *testing.T) {
	t.Parallel()
	w := begin(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(419)
	}), func(w *fixture) { w.upstream.RefusedStatus = []int{419} })
	res, _ := w.do("GET", "/", nil)
	is(t, "status", res.StatusCode, 419)
	is(t, "outcome", w.observer.outcomes(), "refused")
	is(t, "refused", fmt.Sprint(w.source.refused), "[2]")
}

// A 403 to the current token says nothing about the token.
func TestForbiddenIsPassedOn(t *testing.T) {
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
	requests := make(chan string, 4)
	w := beginRaw(t, func(c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		requests <- req.Header.Get("Authorization")
		if req.Header.Get("Authorization") == bearer(1) {
			io.WriteString(c, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
		}
		if _, err := io.ReadAll(req.Body); err == nil {
			requests <- "a whole body"
		}
	})
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
	is(t, "first", <-requests, bearer(1))
	is(t, "second", <-requests, bearer(2))
	c.Close()
	w.server.Drain(t.Context())
	is(t, "further requests", len(requests), 0)
}

// A 401 is passed on whole when the refresh gave the same token, though the request's
// body was kept for a replay.
func TestAnswerIsWholeAfterAUselessRefresh(t *testing.T) {
	t.Parallel()
	why := strings.Repeat("why ", 1_000_000)
	for name, head := range map[string]string{
		"waiting to be asked": "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n",
		"still sending":       "Content-Length: 500000\r\n\r\nbody",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 5 { // the first request of each fixture causes a refresh
				w := beginRaw(t, answeringEarly("HTTP/1.1 401 Unauthorized\r\nContent-Length: "+strconv.Itoa(len(why))+"\r\n\r\n"+why), func(w *fixture) { w.source.fixed = true })
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
