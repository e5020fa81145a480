package command

import (
	"strings"
	"testing"
	"testing/synctest"

	"ticketproxy/sandbox"
)

func TestShutdownWhereItIsNotAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{})
		f.serve()
		err := Run(t.Context(), f.env(), []string{"shutdown"})
		if err == nil || !strings.HasSuffix(err.Error(), "it answered 403: quitting is not allowed: set TICKETPROXY_ADMIN_QUIT=true") {
			t.Errorf("%q", err)
		}
	})
}
