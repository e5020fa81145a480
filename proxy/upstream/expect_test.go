package upstream

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// expecting begins a POST whose body waits until the upstream asks for it.
func (a *api) expecting(transport http.RoundTripper) (*call, *body) {
	source := &body{Reader: strings.NewReader("body")}
	req := a.request("POST", source, "Expect", "100-continue")
	req.ContentLength = 4
	return begin(a.TB, transport, req), source
}

// The upstream's word decides whether the body is sent, and when.
func TestExpect(t *testing.T) {
	t.Parallel()
	const hundred, hints = "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n"
	const refusal = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno"
	for name, test := range map[string]struct {
		says   []string // with waits between them
		body   time.Duration
		answer string // empty: no body is sent
		kept   int
	}{
		"100":                   {[]string{hundred}, 0, "ok", 1},
		"100 after a while":     {[]string{"", hundred}, 900 * time.Millisecond, "ok", 1},
		"silence":               {nil, time.Second, "ok", 1},
		"103, then 100":         {[]string{hints, hundred}, 900 * time.Millisecond, "ok", 1},
		"103, then silence":     {[]string{"", hints}, 1900 * time.Millisecond, "ok", 1},
		"a refusal":             {[]string{refusal}, -1, "no", 0},
		"a refusal, late":       {[]string{"", refusal}, -1, "no", 0},
		"a refusal in parts":    {[]string{"", "HTTP/1.1 ", refusal[9:]}, -1, "no", 0},
		"a 100 in parts":        {[]string{"", hundred[:1], hundred[1:]}, 1800 * time.Millisecond, "ok", 1},
		"a 100 twice":           {[]string{hundred + hundred}, 0, "ok", 1},
		"a 100 and an answer":   {[]string{hundred + refusal}, 0, "no", 1},
		"100, answer in parts":  {[]string{hundred, "HTTP/1.1 ", refusal[9:]}, 0, "no", 1},
		"103, refusal too late": {[]string{hints, "", "HTTP/1.1 ", "4", refusal[10:]}, time.Second, "no", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, kept := range []bool{false, true} { // with the deadline of an earlier request
				synctest.Test(t, func(t *testing.T) { expects(t, kept, test.says, test.body, test.answer, test.kept) })
			}
		})
	}
}

// expects plays an upstream that says something to a request whose body waits.
func expects(t *testing.T, kept bool, says []string, after time.Duration, answer string, idle int) {
	a := pipes(t)
	transport := a.transport()
	var p *peer
	if kept {
		p = a.kept(transport)
	}
	start := time.Now()
	c, source := a.expecting(transport)
	if !kept {
		p = a.accept()
	}
	req := p.header()
	got := time.Duration(-1)
	go func() {
		b := make([]byte, 100)
		if n, _ := req.Body.Read(b); n > 0 {
			got = time.Since(start)
			is(t, "the body", string(b[:n]), "body")
			if answer == "ok" {
				p.say(ok)
			}
		}
	}()
	for i, text := range says {
		if i > 0 {
			time.Sleep(900 * time.Millisecond)
		}
		p.say(text)
	}
	c.want(answer)
	synctest.Wait()
	is(t, "the body came after", got, after)
	is(t, "idle connections", len(transport.idle()), idle)
	is(t, "the body was closed", source.closed.Load() > 0, true)
	p.Close()
}

// The time-out counts from the end of the body, not from the 100.
func TestTimeoutAfterExpect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := pipes(t)
		transport := a.transport()
		start := time.Now()
		c, _ := a.expecting(transport)
		p := a.accept()
		req := p.header()
		p.say("HTTP/1.1 100 Continue\r\n\r\n")
		time.Sleep(5 * time.Minute) // the body is not read
		req.Body.Read(make([]byte, 4))
		c.fails(timeoutError{})
		is(t, "the wait", time.Since(start), 6*time.Minute)
	})
}

// A 100 that comes before the header is written has the body follow the header.
func TestContinueBeforeTheHeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := pipes(t)
		start := time.Now()
		c, _ := a.expecting(a.transport())
		p := a.accept()
		p.say("HTTP/1.1 100 Continue\r\n\r\n")
		synctest.Wait()
		_, body := p.request()
		is(t, "the body", body, "body")
		p.say(ok)
		c.want("ok")
		is(t, "the wait", time.Since(start), 0)
	})
}

// A part of an answer is not waited for longer than an answer.
func TestTimeoutWithinExpect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := pipes(t)
		transport := a.transport()
		start := time.Now()
		c, _ := a.expecting(transport)
		p := a.accept()
		p.header()
		p.say("HTTP/1.1 1")
		c.fails(timeoutError{})
		is(t, "the wait", time.Since(start), time.Minute)
	})
}

// Interim answers are passed on, and an error of the one who gets them ends the request.
func TestInterimAnswers(t *testing.T) {
	t.Parallel()
	a := listen(t)
	transport := a.transport()
	var got []int
	var fail error
	req := a.request("GET", nil)
	req = req.WithContext(httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			got = append(got, code)
			is(t, "a field", header.Get("Link"), "</a>")
			return fail
		},
	}))
	c := begin(t, transport, req)
	p := a.accept()
	p.request()
	p.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 199 X\r\nlink: </a>\r\n\r\n" + ok)
	c.want("ok")
	if len(got) != 2 || got[0] != 103 || got[1] != 199 {
		t.Errorf("got %v", got)
	}
	fail = errBroken
	c = begin(t, transport, req)
	p.request()
	p.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
	c.fails(errBroken)
	is(t, "the rest", p.rest(), "")
}

// Interim answers without end are an error.
func TestInterimAnswersAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := pipes(t)
		c := a.get(a.transport())
		p := a.accept()
		p.request()
		go func() {
			for {
				if _, err := p.Write([]byte("HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n")); err != nil {
					return
				}
			}
		}()
		c.fails(errAnswerLong)
	})
}
