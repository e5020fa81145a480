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
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"ticketproxy/proxy"
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
		is(t, "mark", res.Header.Get(proxy.ErrorHeader), "")
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
	is(t, "mark", res.Header.Get(proxy.ErrorHeader), "")
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
		is(t, "mark", res.Header.Get(proxy.ErrorHeader), code)
		var p proxy.Problem
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

// An API that answers 401 whatever the token costs fewer and fewer refreshes;
// when tokens do matter again, it is healed again.
func TestFutileRefreshesBackOff(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]int{"replayable": 10, "unreplayable": replayLimit + 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var last atomic.Value
				last.Store("")
				w := beginVirtual(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					if r.Header.Get("Authorization") != last.Load() {
						w.WriteHeader(http.StatusUnauthorized)
					}
				}))
				post := func(size int) int {
					res, _ := w.do("POST", "/", bytes.NewReader(make([]byte, size)))
					return res.StatusCode
				}
				for range 120 {
					is(t, "status", post(body), 401)
					time.Sleep(500 * time.Millisecond)
				}
				_, refreshes := w.source.counts()
				if refreshes < 3 || refreshes > 8 { // at 0, 1, 3, 7, 15, 31 s
					t.Errorf("%d refreshes in a minute", refreshes)
				}
				time.Sleep(time.Minute)
				last.Store(bearer(uint64(refreshes) + 2))
				is(t, "status when tokens matter again", post(1), 200)
				last.Store(bearer(uint64(refreshes) + 3))
				is(t, "status after the next rotation", post(1), 200)
			})
		})
	}
}

// An issuer that gives the same access token again cannot heal anything: the
// 401 is the app's, and costs as few refreshes as any.
func TestSameTokenAgainIsFutile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		w := beginVirtual(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, "why")
		}), func(w *world) { w.source.fixed = true })
		for range 120 {
			res, body := w.do("POST", "/", strings.NewReader("body"))
			is(t, "status", res.StatusCode, 401)
			is(t, "answer", body, "why")
			time.Sleep(500 * time.Millisecond)
		}
		if _, refreshes := w.source.counts(); refreshes < 3 || refreshes > 8 {
			t.Errorf("%d refreshes in a minute", refreshes)
		}
		is(t, "requests at the API", asked, 120)
	})
}

// In the time in which refreshes are futile, a token that came otherwise is
// still tried.
func TestFutileTimeUsesAnotherToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var hook func()
		w := beginVirtual(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if hook != nil && r.Header.Get("Authorization") == bearer(2) {
				hook()
			}
			if r.Header.Get("Authorization") != bearer(3) {
				w.WriteHeader(http.StatusUnauthorized)
			}
		}))
		res, _ := w.do("GET", "/", nil)
		is(t, "status", res.StatusCode, 401)
		hook = func() {
			w.source.mu.Lock()
			defer w.source.mu.Unlock()
			w.source.generation = 3
		}
		res, _ = w.do("GET", "/", nil)
		is(t, "status with the other token", res.StatusCode, 200)
	})
}

// Requests refused at a time are one sign of futility, not many.
func TestBurstOfFutileRefreshesCountsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var want atomic.Value
		want.Store("")
		w := beginVirtual(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if time.Sleep(time.Millisecond); r.Header.Get("Authorization") != want.Load() {
				w.WriteHeader(http.StatusUnauthorized)
			}
		}))
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { w.do("GET", "/", nil) })
		}
		all.Wait()
		time.Sleep(2 * time.Second)
		want.Store(bearer(w.source.generation + 1))
		res, _ := w.do("GET", "/", nil)
		is(t, "status two seconds later", res.StatusCode, 200)
	})
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
