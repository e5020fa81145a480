package proxy

import (
	"io"
	"net/http"
)

// once keeps net/http from sending a request without a body twice. It does so
// on its own when a connection that it uses again breaks before the answer and
// the request looks idempotent, though the first may have been acted upon: at
// OpenTicket's shop a GET reserves stock.
//
// A request with a body that cannot be rewound is not sent again. An empty one
// of the identity coding leaves no trace in what is sent by these methods;
// those of others need their Content-Length: 0, and net/http looks for their
// idempotency keys by the canonical spelling, whose case means nothing.
func once(req *http.Request, x *exchange) {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		req.Body, req.TransferEncoding = empty{x}, []string{"identity"}
	default:
		respell(req.Header, "Idempotency-Key", "Idempotency-key")
		respell(req.Header, "X-Idempotency-Key", "X-Idempotency-key")
	}
}

func respell(h http.Header, from, to string) {
	if values, ok := h[from]; ok {
		delete(h, from)
		h[to] = values
	}
}

// empty is a body of no bytes that is not http.NoBody. It is asked for them
// once the request's header was written.
type empty struct{ x *exchange }

func (e empty) Read([]byte) (int, error) {
	e.x.sent.Store(true)
	return 0, io.EOF
}

func (e empty) WriteTo(io.Writer) (int64, error) {
	e.x.sent.Store(true)
	return 0, nil
}

func (empty) Close() error { return nil }

// unsent reports whether it is certain that no upstream got the header of a
// request that failed: its body was not asked for, which net/http does when the
// header is written, and no connection was made for it. It was given one that
// had been used before, and was closed meanwhile.
func (x *exchange) unsent(req *http.Request) bool {
	return !x.sent.Load() && !x.dialed.Load() && req.Body != nil &&
		req.Header["Expect"] == nil && req.Context().Err() == nil // Expect keeps the body back
}
