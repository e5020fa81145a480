package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"ticketproxy/egress"
	"ticketproxy/proxy/inbound"
	"ticketproxy/proxy/upstream"
)

// fail answers a request that got no answer from the upstream.
func (u *forwarder) fail(w http.ResponseWriter, r *http.Request, err error) {
	x := stateOf(r.Context())
	if r.Context().Err() != nil {
		x.body.waitIdle() // the server ends the request before its body's reader knows why
	}
	p := problemOf(err)
	switch {
	case x.malformed.Load():
		p = inbound.NewProblem(http.StatusBadRequest, "bad_request", "The request cannot be read",
			"its body is not framed as HTTP has it")
		x.closing = true
	case x.stalled.Load():
		p = inbound.NewProblem(http.StatusRequestTimeout, "bad_request", "The request cannot be read",
			fmt.Sprintf("less than %d bytes of its body came in %v", inbound.BodyChunk, inbound.BodyChunkTimeout))
		x.closing = true
	case x.upgraded == nil && errors.Is(context.Cause(r.Context()), errNotAllowed):
		p = inbound.NewProblem(http.StatusForbidden, "forbidden", "The caller may not do this", errNotAllowed.Error())
	case r.Context().Err() != nil, x.broken.Load(), x.upgraded != nil:
		panic(http.ErrAbortHandler) // the app left, or broke its own body off
	}
	p.Upstream, x.reason = u.Name, p.Detail
	x.answered(p.Status)
	if x.browser {
		setCORS(x.header, x.origin)
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
func problemOf(err error) *inbound.Problem {
	var token *TokenError
	if errors.As(err, &token) {
		if token.LoginRequired {
			return inbound.NewProblem(http.StatusServiceUnavailable, "login_required", "The account needs a person",
				token.Detail)
		}
		p := inbound.NewProblem(http.StatusServiceUnavailable, "token_unavailable", "No access token available",
			token.Detail)
		p.RetryAfter = max(token.RetryAfter, time.Second)
		return p
	}
	var out *egress.Error
	if errors.As(err, &out) {
		return inbound.NewProblem(http.StatusBadGateway, "upstream_unreachable", "The upstream cannot be reached",
			out.Error())
	}
	var op *net.OpError
	dialing := errors.As(err, &op) && op.Op == "dial"
	if !dialing && errors.Is(err, context.DeadlineExceeded) { // a TLS handshake's time-out is none of these
		return inbound.NewProblem(http.StatusGatewayTimeout, "upstream_timeout", "The upstream did not answer in time",
			"the request was sent, and no header of an answer came within the upstream's TIMEOUT")
	}
	return inbound.NewProblem(http.StatusBadGateway, "upstream_unreachable", "The upstream cannot be reached",
		cause(err))
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
		answer    upstream.AnswerError
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
	case errors.As(err, &op) && op.Op == "dial":
		return op.Error()
	case errors.As(err, &op): // whose text has the addresses of both ends
		return "the connection to the upstream broke: " + op.Err.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return "the upstream did not finish the TLS handshake in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the upstream closed the connection without an answer"
	}
	return "the upstream's answer is broken"
}
