package command

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/admin"
	"ticketproxy/hint"
	"ticketproxy/sandbox"
	"ticketproxy/server"
)

func TestWrongCommandLines(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"frobnicate", "serve now", "demo --twice", "demo now", "help me", "version 2", "wait --timeout soon", "wait --timeout -1s", "sandbox --grace -1s",
		"sandbox --access-lifetime -1s", "sandbox --listen 0.0.0.0:9100", "sandbox --listen 9100", "token a b", "token --min soon", "token --min -1s", "token --output yaml", "token --refresh", "status now", "shutdown now", "-x"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			var out lockedBuffer
			p := &Env{Stdout: &out, Stderr: &out, Environ: []string{"TICKETPROXY_ADMIN_LISTEN=127.0.0.1:9090"}}
			code := ExitCode(p.Stderr, Run(t.Context(), p, strings.Fields(args)))
			if code != 2 || !strings.Contains(out.String(), "ticketproxy: ") || !strings.Contains(out.String(), "\nhint: ") {
				t.Errorf("exit %d:\n%s", code, out.String())
			}
		})
	}
}

func TestAllMistakesAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	var out lockedBuffer
	p := &Env{Stdout: &out, Stderr: &out, Environ: []string{
		"TICKETPROXY_PROVIDER=ticketpark", "TICKETPROXY_TIMEOUT=60", "TICKETPROXY_STATE=memory:", "TICKETPROXY_ADMN_LISTEN=off",
	}}
	code := ExitCode(p.Stderr, Run(t.Context(), p, nil))
	for _, want := range []string{"TICKETPROXY_CLIENT_ID: ", "TICKETPROXY_CLIENT_SECRET: ", "TICKETPROXY_TIMEOUT: ", "TICKETPROXY_STATE: ", "TICKETPROXY_ADMN_LISTEN: ", "TICKETPROXY_ADMIN_LISTEN"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is missing in:\n%s", want, out.String())
		}
	}
	if code != 2 {
		t.Errorf("exit %d", code)
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{"help": "demo", "--help": "serve", "help env": "TICKETPROXY_REFRESH_TOKEN_FILE", "version": "go1.", "sandbox --help": "reuse-detection"} {
		var out lockedBuffer
		p := &Env{Stdout: &out, Stderr: &out}
		if code := ExitCode(p.Stderr, Run(t.Context(), p, strings.Fields(args))); code != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit %d:\n%s", args, code, out.String())
		}
	}
}

func TestStatusWaitAndShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{}, "TICKETPROXY_ADMIN_QUIT=true")
		slow := sandbox.Faults{SlowBeforeCommit: 5 * time.Second}
		f.sandbox.Ticketpark.SetFaults(slow)
		f.serve()
		p := f.env()

		start := time.Now()
		if err := Run(t.Context(), p, []string{"wait", "--timeout", "2s"}); err == nil || time.Since(start) != 2*time.Second {
			t.Errorf("waited %v: %v", time.Since(start), err)
		}
		if err := Run(t.Context(), p, []string{"status"}); err == nil ||
			!strings.Contains(err.Error(), "running, but not usable: ") ||
			!strings.Contains(err.Error(), "ticketpark") {
			t.Errorf("status while starting: %v", err)
		}
		if err := Run(t.Context(), p, []string{"wait"}); err != nil {
			t.Error(err)
		}
		if err := Run(t.Context(), p, []string{"status"}); err != nil {
			t.Error(err)
		}
		if !strings.Contains(f.output.String(), "ready") {
			t.Error(f.output.String())
		}
		if err := Run(t.Context(), p, []string{"shutdown"}); err != nil {
			t.Error(err)
		}
		if err := <-f.stopped; err != nil {
			t.Error(err)
		}
		f.stopping = nil
		if err := Run(t.Context(), p, []string{"shutdown"}); err == nil || ExitCode(p.Stderr, err) != 1 {
			t.Errorf("a second shutdown: %v", err)
		}
	})
}

// wait ends at once on an account that only a person can help, status prints JSON, and both
// say when no instance is running.
func TestWaitOnADeadAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{})
		p := f.env()
		for _, verb := range []string{"status", "wait --timeout 1s"} {
			if err := Run(t.Context(), p, strings.Fields(verb)); err == nil || !strings.Contains(err.Error(), "it is not running") {
				t.Errorf("%s without an instance: %v", verb, err)
			}
		}
		f.sandbox.Ticketpark.RevokeAll()
		f.serve()
		start := time.Now()
		err := Run(t.Context(), p, []string{"wait"})
		if took := time.Since(start); err == nil || took > 10*time.Second || !strings.Contains(err.Error(), "account ticketpark is dead: ") ||
			!strings.Contains(hint.Of(err), "ticketproxy login ticketpark") {
			t.Errorf("after %v: %v, hint %q", took, err, hint.Of(err))
		}
		var out bytes.Buffer
		p.Stdout = &out
		if err := Run(t.Context(), p, []string{"status", "--json"}); err == nil || !strings.Contains(err.Error(), "not usable: ") ||
			!strings.Contains(err.Error(), "ticketpark") {
			t.Error(err)
		}
		var status admin.Status
		if err := json.Unmarshal(out.Bytes(), &status); err != nil || len(status.Dead()) != 1 || status.Dead()[0].Account != "ticketpark" {
			t.Errorf("%v in %s", err, out.String())
		}
	})
}

func TestDrainFinishesARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{ReuseDetection: true})
		f.sandbox.OpenTicket.SetFaults(sandbox.Faults{SlowAfterCommit: 4 * time.Second})
		f.serve()
		time.Sleep(time.Second)
		start := time.Now()
		f.stop() // the token is spent, and the answer comes in three seconds
		if waited := time.Since(start); waited < 2*time.Second {
			t.Errorf("stopped after %v", waited)
		}
		f.sandbox.OpenTicket.SetFaults(sandbox.Faults{})
		f.serve()
		f.mustAnswer("openticket")
		if c := f.sandbox.OpenTicket.Counters(); c.TokenRequests != 1 || c.Reuses != 0 {
			t.Errorf("%+v", c)
		}
	})
}

func TestDrainAnswersRequestsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{}, "TICKETPROXY_DRAIN_DELAY=5s")
		f.serve()
		f.mustAnswer("ticketpark")
		start := time.Now()
		f.stopping()
		time.Sleep(time.Second)
		if code, _ := f.admin("/readyz"); code != http.StatusServiceUnavailable {
			t.Errorf("readyz answers %d while draining", code)
		}
		if code, _ := f.admin("/livez"); code != http.StatusOK {
			t.Errorf("livez answers %d while draining", code)
		}
		f.mustAnswer("ticketpark")
		f.stop()
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("drained in %v", took)
		}
	})
}

func TestListenHintForATakenPort(t *testing.T) {
	t.Parallel()
	n := newNetwork()
	l, err := n.listen(context.Background(), "tcp", "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var out lockedBuffer
	p := &Env{Stdout: &out, Stderr: &out, Network: server.Network{Listen: n.listen, Dial: n.dial}, Environ: []string{
		"TICKETPROXY_PROVIDER=socialboards", "TICKETPROXY_CLIENT_ID=x", "TICKETPROXY_STATE=file:" + filepath.Join(t.TempDir(), "state"),
	}}
	if code := ExitCode(p.Stderr, Run(t.Context(), p, nil)); code != 1 || !strings.Contains(out.String(), "hint: choose another address with TICKETPROXY_LISTEN") {
		t.Errorf("exit %d:\n%s", code, out.String())
	}
}
