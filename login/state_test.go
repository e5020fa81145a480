package login

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/hint"
	"ticketproxy/tokens"
)

// withCode returns the options of a login with a code for another machine.
func withCode() Options { return Options{NoBrowser: true, Timeout: time.Minute} }

// TestUnwritableState tests that the issuer is not asked for a grant that could not be stored.
func TestUnwritableState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &deviceIssuer{device: deviceOK, answers: []string{granted}}
		f := newDeviceFlow(i, withCode(), io.Discard)
		f.Probe = func(context.Context) error { return hint.With(errors.New("disk is full"), "make room") }
		err := f.Run(t.Context())
		if err == nil || hint.Of(err) != "make room" || len(i.forms) > 0 ||
			err.Error() != "logging in account tickets: the state cannot be written to, so nothing was asked of the issuer: disk is full" {
			t.Errorf("%v; hint %q; sent %q", err, hint.Of(err), i.forms)
		}
	})
}

// TestSlowState tests that a state which does not answer ends the login, and an interrupt, too.
func TestSlowState(t *testing.T) {
	t.Parallel()
	for interrupt, want := range map[time.Duration]string{
		time.Second: "logging in account tickets: interrupted",
		time.Minute: "logging in account tickets: the state cannot be written to, so nothing was asked of the issuer: context deadline exceeded",
	} {
		synctest.Test(t, func(t *testing.T) {
			i := &deviceIssuer{device: deviceOK, answers: []string{granted}}
			f := newDeviceFlow(i, withCode(), io.Discard)
			f.Probe = func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}
			ctx, cancel := context.WithTimeout(t.Context(), interrupt)
			defer cancel()
			if err := f.Run(ctx); err == nil || err.Error() != want || len(i.forms) > 0 {
				t.Errorf("%v, want %q; sent %q", err, want, i.forms)
			}
			if waited := time.Since(i.started); waited > storeTimeout {
				t.Errorf("it took %v", waited)
			}
		})
	}
}

// TestWarningOfTheState tests that a person is warned before the issuer is asked, and can
// still log in.
func TestWarningOfTheState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &deviceIssuer{device: deviceOK, answers: []string{granted}}
		var out bytes.Buffer
		f := newDeviceFlow(i, withCode(), &out)
		sent := 0
		f.Warning = func(tokens.Record) error {
			sent = len(i.forms)
			return hint.With(errors.New("another recipient"), "use that one")
		}
		err := f.Run(t.Context())
		if err != nil || sent > 0 || !strings.HasPrefix(out.String(), "warning: another recipient\nhint: use that one\n") {
			t.Errorf("%v, %d requests before the warning:\n%s", err, sent, out.String())
		}
	})
}
