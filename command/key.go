package command

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"ticketproxy/hint"
	"ticketproxy/proxy/inbound/authn"
)

// Key makes a caller's key. It prints the key to stdout, and nothing else there, so that it
// can go into a file; what CALLERS_FILE is to have of it goes to stderr. The key is kept
// nowhere.
func Key(_ context.Context, env *Env, args []string) error {
	if len(args) != 1 || args[0] == "-h" || args[0] == "-help" || args[0] == "--help" {
		if len(args) == 1 {
			printVerbs(env.Stdout)
			return errHelp
		}
		return hint.Usage(errors.New("key needs the name of one caller"), "ticketproxy key shop > shop.key")
	}
	if !regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`).MatchString(args[0]) {
		return hint.Usage(fmt.Errorf("%q is not a caller's name", args[0]),
			"begin with a small letter, and go on with small letters, digits and hyphens, 63 in all")
	}
	key, digest := authn.NewKey()
	if _, err := fmt.Fprintln(env.Stdout, key.Reveal()); err != nil {
		return hint.With(fmt.Errorf("writing the key: %w", err), "run it again: the key is lost, and was not used yet")
	}
	fmt.Fprintf(env.Stderr, "The key is shown this once. In CALLERS_FILE:\n\ncallers:\n  %s:\n    keys: [\"sha256:%x\"]\n",
		args[0], digest)
	return nil
}
