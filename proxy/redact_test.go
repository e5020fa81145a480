package proxy

import (
	"net/http"
	"strings"
	"testing"
)

// A token with characters that a URL encodes is hidden in each spelling.
func TestEncodedTokenIsRedacted(t *testing.T) {
	t.Parallel()
	const token = "ab+cd/ef=="
	for _, form := range []string{token, "ab%2Bcd%2Fef%3D%3D", "ab%2bcd%2fef%3d%3d", "ab+cd%2Fef==", "ab+cd%2fef=="} {
		h := http.Header{"Location": {"https://api.example.com/?access_token=" + form + "&page=2"}, "X": {"fine"}}
		redact(h, token)
		if got := h.Get("Location"); strings.Contains(got, "ef") || !strings.Contains(got, "[redacted]&page=2") {
			t.Errorf("%s: %s", form, got)
		}
		if h.Get("X") != "fine" {
			t.Errorf("X: %q", h["X"])
		}
	}
}
