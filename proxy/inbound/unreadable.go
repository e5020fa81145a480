package inbound

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
)

// unreadable returns our own form of an answer that net/http writes to the connection when
// it refuses a request; nil when p is no such answer. It is called between requests
// only, because a part of an answer's body may look like one. An ambiguous request was
// framed in two ways.
func unreadable(p []byte, ambiguous bool) *Problem {
	const most = 512
	if len(p) > most || !bytes.HasPrefix(p, []byte("HTTP/1.1 ")) {
		return nil
	}
	refused, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(p)), nil)
	if err != nil || refused.StatusCode < 400 {
		return nil
	}
	said, _ := io.ReadAll(refused.Body) // from memory
	status, text := refused.StatusCode, string(said)
	code := "bad_request"
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		code = "header_too_large"
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		code = "not_implemented"
	case http.StatusExpectationFailed:
		code, text = "not_implemented", "of what a request may expect, 100-continue alone is known"
	}
	if _, why, ok := strings.Cut(text, ": "); ok {
		text = why
	}
	switch {
	case ambiguous:
		text = "it has both Content-Length and Transfer-Encoding, or the latter in HTTP/1.0"
	case text == "400 Bad Request":
		text = "its first line, a header or the Host is not as HTTP/1.1 has it"
	case status == http.StatusRequestHeaderFieldsTooLarge:
		text = "its header is longer than 1 MiB"
	}
	return NewProblem(status, code, "The request cannot be read", text)
}
