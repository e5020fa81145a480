package proxy

import (
	"io"
	"net/http"
)

// withoutBody makes a request without a body go out as it came, and not twice.
//
// net/http sends one again on its own when a connection that it uses again
// breaks before the answer and the request looks idempotent, though the first
// may have been acted upon: at OpenTicket's shop a GET reserves stock. A body
// that cannot be rewound it sends once, and an empty one of the identity coding
// leaves no trace in what is sent.
//
// Nor does a length then: POST, PUT and PATCH would have one otherwise, and
// others none. That which the app said goes out in a spelling that net/http lets
// pass, and so does an Expect, which is for no body.
func withoutBody(req *http.Request, x *requestState) {
	req.Body, req.TransferEncoding = emptyBody{x}, []string{"identity"}
	respell(req.Header, "Content-Length", "Content-length")
	respell(req.Header, "Expect", "expect")
}

func respell(h http.Header, from, to string) {
	if values, ok := h[from]; ok {
		delete(h, from)
		h[to] = values
	}
}

// emptyBody is a body of no bytes that is not http.NoBody. It is asked for them
// once the request's header was written.
type emptyBody struct{ x *requestState }

func (e emptyBody) Read([]byte) (int, error) {
	e.x.sent.Store(true)
	return 0, io.EOF
}

func (e emptyBody) WriteTo(io.Writer) (int64, error) {
	e.x.sent.Store(true)
	return 0, nil
}

func (emptyBody) Close() error { return nil }

// unsent reports whether it is certain that no upstream got the header of a
// request that failed: its body was not asked for, which net/http does when the
// header is written, and no connection was made for it. It was given one that
// had been used before, and was closed meanwhile.
func (x *requestState) unsent(req *http.Request) bool {
	return !x.sent.Load() && !x.dialed.Load() && req.Body != nil &&
		req.Header["Expect"] == nil && req.Context().Err() == nil // Expect keeps the body back
}
