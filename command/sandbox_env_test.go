package command

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"ticketproxy/server"
	"time"
)

// sandbox env prints the variables of one vendor of a running sandbox for a shell.
func TestSandboxEnv(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newNetwork()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- Run(ctx, &Env{Stdout: new(bytes.Buffer), Stderr: new(bytes.Buffer), Network: server.Network{Listen: network.listen, Dial: network.dial}}, []string{"sandbox"})
		}()
		synctest.Wait()
		run := func(args ...string) (string, error) {
			var out bytes.Buffer
			err := Run(ctx, &Env{Stdout: &out, Stderr: new(bytes.Buffer), Environ: []string{"STATE_DIRECTORY=/var/lib/x"}, Network: server.Network{Listen: network.listen, Dial: network.dial}}, append([]string{"sandbox", "env"}, args...))
			return out.String(), err
		}
		out, err := run("ticketpark")
		for _, want := range []string{
			"export TICKETPROXY_PROVIDER='ticketpark'\n", "export TICKETPROXY_UPSTREAM_URL='http://127.0.0.1:9102'\n",
			"export TICKETPROXY_REFRESH_TOKEN='", "export TICKETPROXY_STATE='file:/var/lib/x/sandbox'\n",
			"unset TICKETPROXY_AUTHORIZE_URL TICKETPROXY_CLIENT_SECRET\n",
		} {
			if err != nil || !strings.Contains(out, want) {
				t.Errorf("%v: no %q in %s", err, want, out)
			}
		}
		if again, _ := run("ticketpark"); again == out {
			t.Error("the seed is not new")
		}
		if _, err := run("parc"); err == nil || ExitCode(new(bytes.Buffer), err) != 2 {
			t.Errorf("unknown vendor: %v", err)
		}
		if _, err := run(); err == nil || err.Error() != "sandbox env needs the name of a vendor" {
			t.Errorf("no vendor: %v", err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		ctx = t.Context()
		if _, err := run("ticketpark"); err == nil || !strings.Contains(err.Error(), "asking the sandbox at http://127.0.0.1:9102") {
			t.Errorf("without a sandbox: %v", err)
		}
	})
}
