package audit

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	t.Parallel()
	e := Event{
		Action: "request", Caller: "shop", Proof: "key", Client: "10.0.0.7", Upstream: "park", Account: "tickets", Generation: 3,
		Method: "GET", Path: "/events/7", Status: 200, Received: 5, Sent: 70, TraceID: "0af7651916cd43dd8448eb211c80319c",
	}
	start := time.Date(2026, 7, 14, 9, 0, 0, 123456789, time.FixedZone("", 7200))
	got := string(appendLine(nil, &e, start, 1500*time.Microsecond))
	const want = `{"@timestamp":"2026-07-14T07:00:00.123456Z","ecs.version":"8.11.0","event.kind":"event",` +
		`"event.action":"request","event.outcome":"success","event.duration":1500000,"user.name":"shop","ticketproxy.proof":"key",` +
		`"client.address":"10.0.0.7","ticketproxy.upstream":"park","ticketproxy.account":"tickets","ticketproxy.generation":3,` +
		`"http.request.method":"GET","url.path":"/events/7","http.response.status_code":200,"http.request.body.bytes":5,` +
		`"http.response.body.bytes":70,"trace.id":"0af7651916cd43dd8448eb211c80319c"}` + "\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for status, outcome := range map[int]string{0: "unknown", 101: "success", 304: "success", 401: "failure", 503: "failure"} {
		if line := string(appendLine(nil, &Event{Status: status}, start, 0)); !strings.Contains(line, `"event.outcome":"`+outcome+`"`) {
			t.Errorf("status %d: %s", status, line)
		}
	}
}

// checkLine fails the test unless text is one line of JSON without what confuses a terminal,
// and returns its members.
func checkLine(t *testing.T, line []byte) map[string]any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(line, &members); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	if bytes.Count(line, []byte("\n")) != 1 || !bytes.HasSuffix(line, []byte("}\n")) || len(line) > MaxLine || !utf8.Valid(line) {
		t.Fatalf("a line of %d bytes: %q", len(line), line)
	}
	if i := bytes.IndexFunc(line[:len(line)-1], func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x202e }); i >= 0 {
		t.Fatalf("byte %d is not printable: %q", i, line)
	}
	return members
}

// fill sets every text of an event.
func fill(text string, n int64) Event {
	e := Event{Generation: 1<<64 - 1, Status: 599, Received: n, Sent: n}
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.String {
			v.Field(i).SetString(text)
		}
	}
	return e
}

func TestLinesOfStrangersAreBounded(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "a", `"},{"a":"`, "a\nb", "\x00\x1b[2J", "\xff\xfe", "\u202e", "ä€😀", "\\", "\u2028", "/%2e%2e/",
	} {
		for _, n := range []int{1, 41, 42, 127, 128, 129, 1000, 1 << 20} {
			e := fill(strings.Repeat(text, n), -1<<63)
			members := checkLine(t, appendLine(nil, &e, time.Now(), 1<<63-1))
			path, _ := members["url.path"].(string)
			full := strings.ToValidUTF8(strings.Repeat(text, n), "\ufffd")
			if path != full && (!strings.HasSuffix(path, "…") || len(path) < 200) && utf8.ValidString(text) {
				t.Errorf("%d of %q: the path is %q", n, text, path)
			}
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("/events", int64(7))
	f.Add("\xff\"\n", int64(-1))
	f.Fuzz(func(t *testing.T, text string, n int64) {
		e := fill(text, n)
		checkLine(t, appendLine(nil, &e, time.Unix(0, n), time.Duration(n)))
	})
}

func TestTraceID(t *testing.T) {
	t.Parallel()
	const id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for header, want := range map[string]string{
		"00-" + id + "-" + parent + "-01":                                       id,
		"00-" + id + "-" + parent + "-00":                                       id,
		"01-" + id + "-" + parent + "-01-more":                                  id,
		"01-" + id + "-" + parent + "-01":                                       id,
		"00-" + id + "-" + parent + "-01-more":                                  "",
		"01-" + id + "-" + parent + "-01more":                                   "",
		"ff-" + id + "-" + parent + "-01":                                       "",
		"00-" + strings.ToUpper(id) + "-" + parent + "-01":                      "",
		"00-" + strings.Repeat("0", 32) + "-" + parent + "-01":                  "",
		"00-" + id + "-" + strings.Repeat("0", 16) + "-01":                      "",
		"00-" + id + "-" + parent:                                               "",
		"00_" + id + "-" + parent + "-01":                                       "",
		"00-" + id[:31] + `"-` + parent + "-01":                                 "",
		"":                                                                      "",
		strings.Repeat("0", 1000):                                               "",
		" 00-" + id + "-" + parent + "-01":                                      "",
		"0g-" + id + "-" + parent + "-01":                                       "",
		"00-" + id + "-" + parent + "-0x":                                       "",
		"00-" + id + "-" + parent[:15] + "-" + "-01":                            "",
		"00-" + strings.Repeat("f", 32) + "-" + strings.Repeat("f", 16) + "-ff": strings.Repeat("f", 32),
	} {
		if got := TraceID(header); got != want {
			t.Errorf("TraceID(%q) = %q, want %q", header, got, want)
		}
	}
}
