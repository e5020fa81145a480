package proxy

import (
	"net/http"
	"strings"
)

// interim vets what the upstream says before its answer (1xx; RFC 9110, section
// 15.2), which ReverseProxy passes on as it came.
type interim struct {
	http.ResponseWriter
	vet func(http.Header)
}

// WriteHeader implements http.ResponseWriter.
func (w interim) WriteHeader(status int) {
	if status/100 == 1 && status != http.StatusSwitchingProtocols {
		h := w.Header()
		for _, list := range h["Connection"] {
			for name := range strings.SplitSeq(list, ",") {
				h.Del(strings.TrimSpace(name))
			}
		}
		for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te", "Upgrade"} {
			h.Del(name)
		}
		w.vet(h)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w interim) Unwrap() http.ResponseWriter { return w.ResponseWriter }
