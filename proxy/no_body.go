package proxy

import (
	"io"
	"net/http"
)

// withoutBody makes a request without a body go out as it came, and not twice.
//
// net/http (Go 1.26) sends a request again on its own when a reused connection
// breaks before the answer and the request looks idempotent. But the first may have
// had an effect: at OpenTicket's shop a GET reserves stock. net/http sends a request
// once if its body cannot be rewound. So the request gets an empty body that cannot
// be rewound, with the identity coding, which leaves no trace in what is sent.
// TestNothingIsSentTwice and TestUnrepeatableLeavesNoTrace hold this.
//
// With that coding, net/http sends no Content-Length, and would send one with POST,
// PUT and PATCH otherwise. The app's own Content-Length and Expect are spelled in a
// way that net/http does not remove.
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

// emptyBody is a body without bytes that is not http.NoBody. It is read once the
// request's header was written.
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
