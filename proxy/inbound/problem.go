package inbound

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"
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

	*OAuthError // for OAuth clients, which read this form alone; nil for others

	RetryAfter time.Duration `json:"-"` // rounded up to seconds; no header when 0
	Allow      string        `json:"-"` // with 405 (RFC 9110, section 15.5.6)
	Challenge  []string      `json:"-"` // with 401, the values of WWW-Authenticate
}

// NewProblem returns a problem of type about:blank. The code is what apps tell
// problems by.
func NewProblem(status int, code, title, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: title, Status: status, Detail: detail, Code: code}
}

// AuditUnavailable returns the problem of a request that the audit log cannot record.
func AuditUnavailable() *Problem {
	p := NewProblem(http.StatusServiceUnavailable, "audit_unavailable", "The request cannot be recorded",
		"the audit log cannot be written, and TICKETPROXY_AUDIT_REQUIRED=true refuses what cannot be recorded")
	p.RetryAfter = time.Second
	return p
}

// Answer writes the problem as the whole answer.
func (p *Problem) Answer(w http.ResponseWriter) {
	body := p.fill(w.Header())
	w.WriteHeader(p.Status)
	w.Write(body)
}

// body returns the answer's body.
func (p *Problem) body() []byte {
	body, err := json.Marshal(p)
	if err != nil { // strings and numbers marshal
		panic(err)
	}
	return append(body, '\n')
}

// fill sets the answer's header, and returns its body.
func (p *Problem) fill(h http.Header) []byte {
	body := p.body()
	h.Set("Content-Type", "application/problem+json")
	if p.OAuthError != nil {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
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
	if p.Challenge != nil {
		h["Www-Authenticate"] = p.Challenge
	}
	return body
}

// raw returns an answer that closes the connection, for use
// without an http.ResponseWriter.
func raw(p *Problem) []byte {
	res := &http.Response{StatusCode: p.Status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Close: true}
	body := p.fill(res.Header)
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	var text bytes.Buffer
	res.Write(&text) // to memory
	return text.Bytes()
}
