package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// A request is an HTTP request whose body is read.
type request struct {
	*http.Request
	body []byte
}

func newRequest(w http.ResponseWriter, r *http.Request) (request, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return request{}, fmt.Errorf("reading request body: %w", err)
	}
	return request{r, body}, nil
}

func (r request) mediaType() string {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

func (r request) hasJSON() bool { return r.mediaType() == "application/json" }

// form returns the urlencoded body, nil when the body has another media type.
func (r request) form() url.Values {
	if r.mediaType() != "application/x-www-form-urlencoded" {
		return nil
	}
	v, err := url.ParseQuery(string(r.body))
	if err != nil {
		return nil
	}
	return v
}

// origin returns the scheme and host that the client called.
func (r request) origin() string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// authorization joins several Authorization lines as RFC 9110, section 5.3, says. A
// client that adds a second line is therefore refused.
func (r request) authorization() string {
	return strings.Join(r.Header.Values("Authorization"), ", ")
}

// An answer is a whole HTTP response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// jsonAnswer marshals v, a value of this package, without a trailing newline and
// without escaping HTML.
func jsonAnswer(status int, v any) answer {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Errorf("encoding answer: %w", err))
	}
	a := answer{status: status, body: bytes.TrimRight(b.Bytes(), "\n")}
	return a.with("Content-Type", "application/json")
}

func webPage(status int, html string) answer {
	return answer{status: status, body: []byte(html)}.with("Content-Type", "text/html; charset=utf-8")
}

// with returns the answer with the header set.
func (a answer) with(name, value string) answer {
	if a.header == nil {
		a.header = http.Header{}
	}
	a.header.Set(name, value)
	return a
}

func (a answer) write(w http.ResponseWriter, r *http.Request) {
	a.writeHeader(w)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body) // the client may be gone
	}
}

// writeHalf sends the whole Content-Length and half of the body, and closes the connection.
func (a answer) writeHalf(w http.ResponseWriter) {
	a.writeHeader(w)
	_, _ = w.Write(a.body[:len(a.body)/2])
	_ = http.NewResponseController(w).Flush() // unflushed bytes would be dropped with the connection
	panic(http.ErrAbortHandler)
}

func (a answer) writeHeader(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if a.status != http.StatusNoContent {
		w.Header().Set("Content-Length", fmt.Sprint(len(a.body)))
	}
	w.WriteHeader(a.status)
}
