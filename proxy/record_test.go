package proxy_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/proxy"
	"ticketproxy/proxy/inbound"
)

// echo is an API that switches to another protocol, and sends back what it gets by that.
func echo(c net.Conn) {
	r := bufio.NewReader(c)
	if _, err := http.ReadRequest(r); err != nil {
		return
	}
	io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	io.Copy(c, r)
}

const upgradeRequest = "GET /park/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer proof\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

// TestRecordOfAnUpgrade tests that the bytes of an upgraded connection are recorded, also those that
// come together with the request.
func TestRecordOfAnUpgrade(t *testing.T) {
	t.Parallel()
	log := new(records)
	w := beginRaw(t, echo, withGate(new(fakeGate), log))
	app := w.dial()
	app.send(upgradeRequest + "early")
	is(t, "status", app.receive("GET").StatusCode, http.StatusSwitchingProtocols)
	expect(t, "the app", app.r, "early")
	app.send(" late")
	expect(t, "the app", app.r, " late")
	app.Close()
	w.server.Drain(t.Context()) // the record is made when the connection is closed
	is(t, "record", log.last(), "shop key park acme GET 101  /park/a 1")
	is(t, "bytes received in the record", log.all[0].Received, 10)
	is(t, "bytes sent in the record", log.all[0].Sent, 10)
}

// cuttingGate cuts each request to upgrade a connection at once.
type cuttingGate struct{ *fakeGate }

func (g cuttingGate) Admit(caller inbound.Caller, r proxy.Request) (func(), *inbound.Problem) {
	r.Cut()
	return g.fakeGate.Admit(caller, r)
}

// TestUpgradeIsCutBeforeItsAnswer tests that an app learns why its request is not served any more,
// as long as there is no answer.
func TestUpgradeIsCutBeforeItsAnswer(t *testing.T) {
	t.Parallel()
	log := new(records)
	w := beginRaw(t, echo, withGate(new(fakeGate), log), func(w *fixture) { w.gate = cuttingGate{new(fakeGate)} })
	app := w.dial()
	app.send(upgradeRequest)
	res := app.receive("GET")
	is(t, "code", res.Header.Get(inbound.ErrorHeader), "forbidden")
	w.server.Drain(t.Context())
	is(t, "record", log.last(), "shop key park acme GET 403 forbidden /park/a 1")
	is(t, "reason", log.all[0].Reason, "CALLERS_FILE does not allow it any more")
}

// A goneApp is the http.ResponseWriter of an app that left before an answer of 101.
type goneApp struct{ http.ResponseWriter }

func (goneApp) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	here, there := net.Pipe()
	there.Close()
	return here, bufio.NewReadWriter(bufio.NewReader(here), bufio.NewWriter(here)), nil
}

// TestAppLeavesBeforeTheSwitch tests that an upstream which switched is not blamed for an app that
// left meanwhile.
func TestAppLeavesBeforeTheSwitch(t *testing.T) {
	t.Parallel()
	log := new(records)
	w := beginRaw(t, echo)
	h := proxy.NewHandler(proxy.HandlerConfig{Guard: w.guard, Budget: proxy.NewReplayBudget(), Recorder: log}, *w.upstream)
	r := httptest.NewRequest(http.MethodGet, "http://localhost/", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	defer func() {
		is(t, "panic", recover(), any(http.ErrAbortHandler))
		is(t, "record", log.last(), "  park  GET 101  / 1")
	}()
	h.ServeHTTP(goneApp{httptest.NewRecorder()}, r)
}

// TestRecordOfWhatOutlastsTheDrain tests that a request which the drain cuts off is recorded before
// the drain ends, with the reason.
func TestRecordOfWhatOutlastsTheDrain(t *testing.T) {
	for name, tt := range map[string]struct {
		request string
		record  string
	}{
		"an upgrade": {upgradeRequest, "shop key park acme GET 101  /park/a 1"},
		"a request":  {"GET /park/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer proof\r\n\r\n", "shop key park acme GET 499  /park/a 1"},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				log := new(records)
				w := beginVirtual(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Upgrade") == "" {
						<-r.Context().Done()
						return
					}
					c, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					defer c.Close()
					io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
					io.Copy(io.Discard, c)
				}), withGate(new(fakeGate), log))
				app := w.dial()
				app.send("%s", tt.request)
				go io.Copy(io.Discard, app)
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := w.server.Drain(ctx); err == nil {
					t.Error("the request has not outlasted the drain")
				}
				is(t, "record", log.last(), tt.record)
				for _, r := range log.all {
					is(t, "reason", r.Reason, "it outlasted the drain")
				}
			})
		})
	}
}

// TestRecordOfAnUploadThatOutlastsTheDrain tests that a body which is still sent holds up no record. The
// connection is read on after an answer, but not when the server has ended.
func TestRecordOfAnUploadThatOutlastsTheDrain(t *testing.T) {
	t.Parallel()
	for name, framing := range map[string]string{"length": "Content-Length: 100", "chunked": "Transfer-Encoding: chunked"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := new(records)
			begun := make(chan struct{})
			api := func(c net.Conn) {
				if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					close(begun)
					io.Copy(io.Discard, r.Body)
				}
			}
			w := beginRaw(t, api, withGate(new(fakeGate), log))
			w.dial().send("POST /park/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer proof\r\n%s\r\n\r\n", framing)
			<-begun
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if err := w.server.Drain(ended); err == nil {
				t.Error("the request has not outlasted the drain")
			}
			is(t, "record", log.last(), "shop key park acme POST 499  /park/a 1")
			is(t, "reason", log.all[0].Reason, "it outlasted the drain")
		})
	}
}

// TestRecordSaysWhyARequestFailed tests that the record of each answer of our own has its reason.
func TestRecordSaysWhyARequestFailed(t *testing.T) {
	t.Parallel()
	const head = " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer proof\r\n"
	for name, tt := range map[string]struct {
		request string
		change  func(*fixture)
		code    string
		reason  string
	}{
		"a bad chunk": {"POST /park/a" + head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", nil,
			"bad_request", "its body is not framed as HTTP has it"},
		"no token": {"GET /park/a" + head + "\r\n", func(w *fixture) {
			w.source.err = &proxy.TokenError{Detail: "the issuer is down"}
		}, "token_unavailable", "the issuer is down"},
		"no answer": {"GET /park/a" + head + "\r\n", nil,
			"upstream_unreachable", "the upstream closed the connection without an answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := new(records)
			api := func(c net.Conn) {
				if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					io.Copy(io.Discard, r.Body)
				}
			}
			w := beginRaw(t, api, withGate(new(fakeGate), log), func(w *fixture) {
				if tt.change != nil {
					tt.change(w)
				}
			})
			res, _ := w.ask(tt.request)
			is(t, "code", res.Header.Get(inbound.ErrorHeader), tt.code)
			w.server.Drain(t.Context())
			is(t, "code in the record", log.all[0].Code, tt.code)
			is(t, "reason", log.all[0].Reason, tt.reason)
		})
	}
}
