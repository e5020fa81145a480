package command

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"ticketproxy/config"
	"ticketproxy/hint"
)

// errHelp ends a verb that has printed its help.
var errHelp = errors.New("help")

// errReported ends a verb with exit code 1 after it has printed why.
var errReported = errors.New("reported")

// ExitCode prints each error once on its own line, with its hint, and returns the exit
// code.
func ExitCode(stderr io.Writer, err error) int {
	code := 0
	printed := map[string]bool{}
	for _, one := range flatten(err) {
		var mistakes *config.Error
		switch {
		case errors.Is(one, errHelp):
			continue
		case errors.Is(one, errReported):
			code = max(code, 1)
			continue
		case errors.As(one, &mistakes):
			for _, m := range mistakes.Mistakes {
				fmt.Fprintf(stderr, "ticketproxy: %s: %s\nhint: %s\n", m.Variable, m.Problem, m.Hint)
			}
			code = 2
			continue
		case hint.IsUsage(one):
			code = 2
		default:
			code = max(code, 1)
		}
		text := "ticketproxy: " + printable(one.Error()) + "\n"
		if advice := hint.Of(one); advice != "" {
			text += "hint: " + printable(advice) + "\n"
		}
		if !printed[text] {
			io.WriteString(stderr, text)
			printed[text] = true
		}
	}
	return code
}

// flatten returns the errors that errors.Join has joined. It recognizes them by their
// texts, which are the lines of the joined text.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	var lines []string
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
		lines = append(lines, e.Error())
	}
	if strings.Join(lines, "\n") != err.Error() {
		return []error{err}
	}
	return all
}
