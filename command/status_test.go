package command

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"ticketproxy/process"
	"ticketproxy/sandbox"
)

// TestStatusSaysThatTheLogIsLost also tests that the program stays ready.
func TestStatusSaysThatTheLogIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{})
		f.brokenLog = process.NewLossyWriter(brokenPipe{})
		f.serve()
		for name := range ports() {
			f.mustAnswer(name)
		}
		const words = "the log cannot be written"
		for _, path := range []string{"/status", "/"} {
			if _, body := f.admin(path); !strings.Contains(body, words) || !strings.Contains(body, "broken pipe") {
				t.Errorf("%s: %s", path, body)
			}
		}
		if _, body := f.admin("/metrics"); strings.Contains(body, "\nticketproxy_log_write_failures_total 0\n") || !strings.Contains(body, "\nticketproxy_log_write_failures_total ") {
			t.Error(body)
		}
		var out lockedBuffer
		p := f.env()
		p.Stdout = &out
		if err := Status(t.Context(), p, nil); err != nil || !strings.Contains(out.String(), "\nwarning: "+words) {
			t.Errorf("%v\n%s", err, out.String())
		}
	})
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }
