package main

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"ticketproxy/sandbox"
)

// TestStatusSaysThatTheLogIsLost also holds that the program stays ready.
func TestStatusSaysThatTheLogIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{})
		h.broken = &lossyWriter{out: writerFunc(func([]byte) (int, error) { return 0, errors.New("broken pipe") })}
		h.serve()
		for name := range ports() {
			h.mustAnswer(name)
		}
		const words = "the log cannot be written"
		for _, path := range []string{"/status", "/"} {
			if _, body := h.admin(path); !strings.Contains(body, words) || !strings.Contains(body, "broken pipe") {
				t.Errorf("%s: %s", path, body)
			}
		}
		if _, body := h.admin("/metrics"); strings.Contains(body, "\nticketproxy_log_write_failures_total 0\n") || !strings.Contains(body, "\nticketproxy_log_write_failures_total ") {
			t.Error(body)
		}
		var out lockedBuffer
		p := h.process()
		p.stdout = &out
		if err := status(t.Context(), p, nil); err != nil || !strings.Contains(out.String(), "\nwarning: "+words) {
			t.Errorf("%v\n%s", err, out.String())
		}
	})
}
