package tokens_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"ticketproxy/tokens"
)

// TestCopyReport tests that a failure is told once, and again when it weighs more and after a
// copy was written.
func TestCopyReport(t *testing.T) {
	t.Parallel()
	var c tokens.CopyReport
	c.Failed(errors.New("before anybody listens"), true)
	c.Written()
	var told []string
	c.To(func(err error, exists bool) { told = append(told, fmt.Sprint(err, exists)) })
	c.Written()
	for _, step := range []struct {
		err    string // "" is a copy
		exists bool
		want   []string
	}{
		{"a", false, []string{"a false"}},
		{"b", false, nil},
		{"c", true, []string{"c true"}},
		{"d", true, nil},
		{"e", false, nil},
		{"", true, []string{"<nil> true"}},
		{"", true, nil},
		{"f", true, []string{"f true"}},
		{"", true, []string{"<nil> true"}},
		{"g", false, []string{"g false"}},
	} {
		told = nil
		if step.err == "" {
			c.Written()
		} else {
			c.Failed(errors.New(step.err), step.exists)
		}
		if !slices.Equal(told, step.want) {
			t.Errorf("%+v: told %q", step, told)
		}
	}
}
