package command

import (
	"net/http"
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

// Prometheus listens at port 9090 by default, too.
func TestAnotherProgramAtTheAdminAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{})
		l, err := f.network.listen(t.Context(), "tcp", "127.0.0.1:9090")
		if err != nil {
			t.Fatal(err)
		}
		other := &http.Server{Handler: http.NotFoundHandler()}
		done := make(chan struct{})
		go func() {
			defer close(done)
			other.Serve(l)
		}()
		for _, verb := range []string{"status", "wait --timeout 1s", "shutdown"} {
			err := Run(t.Context(), f.env(), strings.Fields(verb))
			if err == nil || !strings.HasSuffix(err.Error(), "127.0.0.1:9090: another program listens there: it answered 404") ||
				!strings.Contains(hint.Of(err), "TICKETPROXY_ADMIN_LISTEN") {
				t.Errorf("%s: %v, hint %q", verb, err, hint.Of(err))
			}
		}
		other.Close()
		<-done
	})
}
