package command

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"ticketproxy/config"
	"ticketproxy/hint"
)

// errHelp ends a verb that was asked for help, and has printed it.
var errHelp = errors.New("help")

// errSaid ends a verb with exit code 1 after it has said why.
var errSaid = errors.New("said")

// ExitCode prints what went wrong, each error on a line of its own with a hint where
// a person can do something, and returns the exit code.
func ExitCode(stderr io.Writer, err error) int {
	code := 0
	printed := map[string]bool{}
	for _, one := range flatten(err) {
		var mistakes *config.Error
		switch {
		case errors.Is(one, errHelp):
			continue
		case errors.Is(one, errSaid):
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

// flatten returns the errors that errors.Join has put together, whose texts are
// lines of the whole.
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
