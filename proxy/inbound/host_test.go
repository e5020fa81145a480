package inbound

import (
	"crypto/tls"
	"net/http"
	"testing"
)

func TestHostMatches(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ours, host   string
		plain, byTLS bool
	}{
		{"api.test", "api.test", true, true},
		{"api.test", "API.test.:9000", true, true},
		{"api.test", "other.test", false, false},
		{"api.test", "", false, false},
		{"api.test:80", "api.test", true, false},
		{"api.test:443", "api.test", false, true},
		{"api.test:443", "api.test:", false, true},
		{"api.test:443", "api.test:443", true, true},
		{"api.test:443", "api.test:80", false, false},
		{"[fd00::5]:443", "[fd00::5]", false, true},
	} {
		for by, want := range map[*tls.ConnectionState]bool{nil: tt.plain, {}: tt.byTLS} {
			if got := HostMatches(tt.ours, &http.Request{Host: tt.host, TLS: by}); got != want {
				t.Errorf("%q matches %q, over TLS %v: %v", tt.host, tt.ours, by != nil, got)
			}
		}
	}
}
