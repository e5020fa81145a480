package proxy

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// refusalHeaders is what net/http says, and on the connection itself, when it
// cannot read a request.
const refusalHeaders = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// refusal returns our own form of an answer with which net/http refuses a
// request; nil when p is none. It is asked between requests alone, for a part of
// an answer's body may look like one.
func refusal(p []byte) []byte {
	const most = 512
	if len(p) > most || !bytes.HasPrefix(p, []byte("HTTP/1.1 ")) {
		return nil
	}
	line, text, ok := strings.Cut(string(p), refusalHeaders)
	if !ok || strings.Contains(line, "\r\n") {
		return nil
	}
	status, err := strconv.Atoi(line[len("HTTP/1.1 "):][:3])
	if err != nil {
		return nil
	}
	code := "bad_request"
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		code = "header_too_large"
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		code = "not_implemented"
	}
	if _, why, ok := strings.Cut(text, ": "); ok {
		text = why
	}
	res := &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Close: true}
	body := newProblem(status, code, "The request cannot be read", text).fill(res.Header)
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	var ours bytes.Buffer
	res.Write(&ours) // to memory
	return ours.Bytes()
}
