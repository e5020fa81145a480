package command

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"ticketproxy/hint"
	"ticketproxy/sandbox"
)

// A script may call login and then wait: the instance takes the new grant up within a second.
func TestWaitAfterLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{})
		f.environ = slices.DeleteFunc(f.environ, func(pair string) bool {
			return strings.HasPrefix(pair, "TICKETPROXY_TICKETPARK_REFRESH_TOKEN=")
		})
		f.serve()
		for _, verb := range []string{"wait", "wait --timeout 1s"} {
			err := Run(t.Context(), f.env(), strings.Fields(verb))
			if err == nil || !strings.Contains(err.Error(), "account ticketpark is dead: ") ||
				!strings.Contains(hint.Of(err), "ticketproxy login ticketpark") {
				t.Errorf("%s before the login: %v, hint %q", verb, err, hint.Of(err))
			}
		}
		p := f.sandbox.Ticketpark
		code, out := f.login(pipe(p.Username, p.Password), nil, "ticketpark")
		mustPrint(t, code, 0, out, "logged in")
		if err := Run(t.Context(), f.env(), []string{"wait"}); err != nil {
			t.Errorf("wait after the login: %v", err)
		}
	})
}
