package audit

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// An Event is what a line tells. Empty members are left out. Texts may be a stranger's:
// they are shortened, and always valid JSON.
type Event struct {
	Action     string // "request", or "token" for a token that was asked for
	Caller     string // who asked, as CALLERS_FILE names it
	Proof      string // how that was proved: "key", "token", "certificate", …
	Client     string // address of the peer
	Upstream   string
	Account    string
	Generation uint64 // of the access token that was used or handed out; 0 when none was
	Method     string
	Path       string // without its query
	Status     int    // of the answer; 0 when none was sent
	Code       string // of an answer of our own that tells of a problem
	Reason     string // why it was refused
	Received   int64  // bytes of the request's body
	Sent       int64  // bytes of the answer's body
	TraceID    string // see TraceID
}

// MaxLine is the length of the longest line, with its line feed.
const MaxLine = 4096

// Lengths of the longest texts, in JSON without the quotes. With all of them a line is
// shorter than MaxLine.
const (
	maxName   = 128
	maxPath   = 1536
	maxReason = 512
)

// appendLine appends the line of an event.
func appendLine(b []byte, e *Event, start time.Time, took time.Duration) []byte {
	b = append(b, `{"@timestamp":"`...)
	b = start.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	b = append(b, `","ecs.version":"8.11.0","event.kind":"event"`...)
	b = appendText(b, "event.action", e.Action, maxName)
	b = appendText(b, "event.outcome", outcome(e.Status), maxName)
	b = appendNumber(b, "event.duration", took.Nanoseconds())
	b = appendText(b, "event.reason", e.Reason, maxReason)
	b = appendText(b, "error.code", e.Code, maxName)
	b = appendText(b, "user.name", e.Caller, maxName)
	b = appendText(b, "ticketproxy.proof", e.Proof, maxName)
	b = appendText(b, "client.address", e.Client, maxName)
	b = appendText(b, "ticketproxy.upstream", e.Upstream, maxName)
	b = appendText(b, "ticketproxy.account", e.Account, maxName)
	if e.Generation > 0 {
		b = append(b, `,"ticketproxy.generation":`...)
		b = strconv.AppendUint(b, e.Generation, 10)
	}
	b = appendText(b, "http.request.method", e.Method, maxName)
	b = appendText(b, "url.path", e.Path, maxPath)
	if e.Status > 0 {
		b = appendNumber(b, "http.response.status_code", int64(e.Status))
	}
	b = appendNumber(b, "http.request.body.bytes", e.Received)
	b = appendNumber(b, "http.response.body.bytes", e.Sent)
	b = appendText(b, "trace.id", e.TraceID, maxName)
	return append(b, "}\n"...)
}

// outcome returns the event.outcome of an answer's status.
func outcome(status int) string {
	switch {
	case status <= 0:
		return "unknown"
	case status >= 400:
		return "failure"
	}
	return "success"
}

func appendNumber(b []byte, name string, n int64) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	return strconv.AppendInt(b, n, 10)
}

// appendText appends a member, unless the text is empty. It takes at most the given number
// of bytes for the text in JSON; a longer one is cut off, and ends with an ellipsis.
func appendText(b []byte, name, text string, most int) []byte {
	if text == "" {
		return b
	}
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":"`...)
	const ellipsis = "…"
	begin, cut := len(b), len(b) // where the text begins, and where it is cut off
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		b = appendRune(b, r)
		if len(b)-begin > most {
			b = append(b[:cut], ellipsis...)
			break
		}
		if len(b)-begin <= most-len(ellipsis) {
			cut = len(b)
		}
		i += size
	}
	return append(b, '"')
}

// appendRune appends a character of a JSON text. What could confuse a terminal is escaped;
// what is no UTF-8 becomes U+FFFD.
func appendRune(b []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	switch {
	case r == '"' || r == '\\':
		return append(b, '\\', byte(r))
	case r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e ||
		r >= 0x2060 && r <= 0x206f || r == 0xfeff:
		return append(b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
	}
	return utf8.AppendRune(b, r)
}

// TraceID returns the trace ID of a traceparent header (W3C Trace Context), "" when that is
// not valid.
func TraceID(traceparent string) string {
	const (
		version = len("00-")
		parent  = version + 32 + 1
		flags   = parent + 16 + 1
		length  = flags + 2
	)
	t := traceparent
	switch {
	case len(t) < length || t[2] != '-' || t[parent-1] != '-' || t[flags-1] != '-',
		!isHex(t[:2]) || !isHex(t[version:parent-1]) || !isHex(t[parent:flags-1]) || !isHex(t[flags:length]),
		t[:2] == "ff" || isZero(t[version:parent-1]) || isZero(t[parent:flags-1]),
		len(t) > length && (t[:2] == "00" || t[length] != '-'):
		return ""
	}
	return t[version : parent-1]
}

func isHex(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isZero(text string) bool {
	for i := range len(text) {
		if text[i] != '0' {
			return false
		}
	}
	return true
}
