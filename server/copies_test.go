package server

import (
	"errors"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ticketproxy/hint"
	"ticketproxy/tokens/store"
)

// A copyBackend is a Backend that writes access tokens for readers, as far as it tells.
type copyBackend struct {
	store.Backend
	report func(err error, exists bool)
}

func (b *copyBackend) ReportCopies(report func(err error, exists bool)) { b.report = report }

// TestCopiesAreLogged tests that it is a warning when readers get no access tokens, and
// information when there may be no readers.
func TestCopiesAreLogged(t *testing.T) {
	t.Parallel()
	core, lines := observer.New(zap.DebugLevel)
	b := new(copyBackend)
	logCopies(b, zap.New(core))
	denied := hint.With(errors.New("denied"), "allow it")
	b.report(denied, false)
	b.report(denied, true)
	b.report(errors.New("no such column"), true)
	b.report(nil, true)
	logCopies(nil, zap.New(core)) // a backend without readers
	type line struct {
		level              string
		message, err, hint any
	}
	want := []line{
		{"info", "no access tokens are written for readers", "denied", "where there are readers, allow it"},
		{"warn", "access tokens for readers cannot be written: readers get no newer ones", "denied", "allow it"},
		{"warn", "access tokens for readers cannot be written: readers get no newer ones", "no such column", "ticketproxy check tells more"},
		{"info", "access tokens for readers are written again", nil, nil},
	}
	if lines.Len() != len(want) {
		t.Fatalf("%d lines: %v", lines.Len(), lines.All())
	}
	for i, entry := range lines.All() {
		fields := entry.ContextMap()
		if got := (line{entry.Level.String(), entry.Message, fields["error"], fields["hint"]}); got != want[i] {
			t.Errorf("logged %q, want %q", got, want[i])
		}
	}
}
