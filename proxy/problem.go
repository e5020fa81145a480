package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"ticketproxy/egress"
)

// ErrorHeader marks every answer that is ours and not the upstream's.
const ErrorHeader = "Ticketproxy-Error"

// A Problem is an answer of our own (RFC 9457). Its members hold no secret and
// nothing that an issuer or an upstream said.
type Problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Upstream string `json:"upstream,omitempty"`
	Code     string `json:"code"`

	RetryAfter time.Duration `json:"-"` // rounded up to seconds; no header when 0
	Allow      string        `json:"-"` // with 405 (RFC 9110, section 15.5.6)
}

func newProblem(status int, code, title, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: title, Status: status, Detail: detail, Code: code}
}

// Answer writes the problem as the whole answer.
func (p *Problem) Answer(w http.ResponseWriter) {
	body := p.fill(w.Header())
	w.WriteHeader(p.Status)
	w.Write(body)
}

// fill sets the answer's header, and returns its body.
func (p *Problem) fill(h http.Header) []byte {
	body, err := json.Marshal(p)
	if err != nil { // strings and numbers marshal
		panic(err)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	h.Set("Cache-Control", "no-store")
	// Else a browser that shows it asks for /favicon.ico, as a page of our own.
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set(ErrorHeader, p.Code)
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
	if p.Allow != "" {
		h.Set("Allow", p.Allow)
	}
	return append(body, '\n')
}

// fail answers a request that got no answer from the upstream.
func (u *Upstream) fail(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r.Context())
	if r.Context().Err() != nil {
		x.body.rest() // the server ends the request before its body's reader knows why
	}
	p := problemOf(err)
	switch {
	case x.malformed.Load():
		p = newProblem(http.StatusBadRequest, "bad_request", "The request cannot be read", "its body is not framed as HTTP has it")
		x.last = true
	case x.stalled.Load():
		p = newProblem(http.StatusRequestTimeout, "bad_request", "The request cannot be read",
			fmt.Sprintf("less than %d bytes of its body came in %v", bodyLeast, bodyIdle))
		x.last = true
	case r.Context().Err() != nil, x.broken.Load():
		panic(http.ErrAbortHandler) // the app left, or broke its own body off
	}
	p.Upstream = u.Name
	x.answered(p.Status)
	if x.browser {
		share(x.header, x.origin)
	}
	level := zap.WarnLevel
	var token *TokenError
	if errors.As(err, &token) { // its source has logged it, once
		level = zap.DebugLevel
	}
	fields := []zap.Field{zap.String("code", p.Code), zap.String("detail", p.Detail)}
	var out *egress.Error
	if errors.As(err, &out) {
		fields = append(fields, zap.String("hint", out.Hint()))
	}
	u.Log.Log(level, "request failed", fields...)
	p.Answer(w)
}

// problemOf says what an app is told of an error.
func problemOf(err error) *Problem {
	var token *TokenError
	if errors.As(err, &token) {
		if token.LoginRequired {
			return newProblem(http.StatusServiceUnavailable, "login_required", "The account needs a person", token.Detail)
		}
		p := newProblem(http.StatusServiceUnavailable, "token_unavailable", "No access token is to be had", token.Detail)
		p.RetryAfter = max(token.RetryAfter, time.Second)
		return p
	}
	var out *egress.Error
	if errors.As(err, &out) {
		return newProblem(http.StatusBadGateway, "upstream_unreachable", "The upstream cannot be reached", out.Error())
	}
	var op *net.OpError
	dialing := errors.As(err, &op) && op.Op == "dial"
	if !dialing && errors.Is(err, context.DeadlineExceeded) { // a TLS handshake's time-out is none of these
		return newProblem(http.StatusGatewayTimeout, "upstream_timeout", "The upstream did not answer in time",
			"the request was sent, and no header of an answer came within the upstream's TIMEOUT")
	}
	return newProblem(http.StatusBadGateway, "upstream_unreachable", "The upstream cannot be reached", cause(err))
}

// cause describes a failed exchange without quoting the upstream, whose words
// may hold our own token.
func cause(err error) string {
	var (
		op        *net.OpError
		dns       *net.DNSError
		hostname  x509.HostnameError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		timeout   net.Error
		answer    answerError
	)
	switch {
	case errors.As(err, &answer):
		return answer.Error()
	case errors.As(err, &dns):
		return dns.Error()
	case errors.As(err, &hostname):
		return "the upstream's certificate is for other names"
	case errors.As(err, &authority):
		return "the upstream's certificate is signed by an unknown authority"
	case errors.As(err, &invalid):
		return "the upstream's certificate is not valid"
	case errors.As(err, &record):
		return "the upstream does not speak TLS"
	case errors.As(err, &op):
		return op.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return "the upstream did not finish the TLS handshake in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the upstream closed the connection without an answer"
	}
	return "the upstream's answer is broken"
}
