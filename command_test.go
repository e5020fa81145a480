package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/config"
	"ticketproxy/sandbox"
)

func TestWrongCommandLines(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"frobnicate", "serve now", "demo --twice", "demo now", "help me", "version 2", "wait --timeout soon", "sandbox --listen 0.0.0.0:9100", "sandbox --listen 9100", "status now", "shutdown now", "-x"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			var out lockedBuffer
			p := &process{stdout: &out, stderr: &out, environ: []string{"TICKETPROXY_ADMIN_LISTEN=127.0.0.1:9090"}}
			code := exit(p.stderr, run(t.Context(), p, strings.Fields(args)))
			if code != 2 || !strings.Contains(out.String(), "ticketproxy: ") || !strings.Contains(out.String(), "\nhint: ") {
				t.Errorf("exit %d:\n%s", code, out.String())
			}
		})
	}
}

func TestWrongConfigurationSaysAllAtOnce(t *testing.T) {
	t.Parallel()
	var out lockedBuffer
	p := &process{stdout: &out, stderr: &out, environ: []string{
		"TICKETPROXY_PROVIDER=ticketpark", "TICKETPROXY_TIMEOUT=60", "TICKETPROXY_STATE=memory:", "TICKETPROXY_ADMN_LISTEN=off",
	}}
	code := exit(p.stderr, run(t.Context(), p, nil))
	for _, want := range []string{"TICKETPROXY_CLIENT_ID: ", "TICKETPROXY_CLIENT_SECRET: ", "TICKETPROXY_TIMEOUT: ", "TICKETPROXY_STATE: ", "TICKETPROXY_ADMN_LISTEN: ", "TICKETPROXY_ADMIN_LISTEN"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing of %s in:\n%s", want, out.String())
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
		p := &process{stdout: &out, stderr: &out}
		if code := exit(p.stderr, run(t.Context(), p, strings.Fields(args))); code != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit %d:\n%s", args, code, out.String())
		}
	}
}

func TestStatusWaitAndShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{}, "TICKETPROXY_ADMIN_QUIT=true")
		slow := sandbox.Faults{SlowBeforeCommit: 5 * time.Second}
		h.sandbox.Ticketpark.SetFaults(slow)
		h.serve()
		p := h.process()

		began := time.Now()
		if err := run(t.Context(), p, []string{"wait", "--timeout", "2s"}); err == nil || time.Since(began) != 2*time.Second {
			t.Errorf("waited %v: %v", time.Since(began), err)
		}
		if err := run(t.Context(), p, []string{"status"}); !errors.Is(err, errSaid) {
			t.Errorf("status while starting: %v", err)
		}
		if err := run(t.Context(), p, []string{"wait"}); err != nil {
			t.Error(err)
		}
		if err := run(t.Context(), p, []string{"status"}); err != nil {
			t.Error(err)
		}
		if !strings.Contains(h.output.String(), "ready") {
			t.Error(h.output.String())
		}
		if err := run(t.Context(), p, []string{"shutdown"}); err != nil {
			t.Error(err)
		}
		if err := <-h.stopped; err != nil {
			t.Error(err)
		}
		h.stopping = nil
		if err := run(t.Context(), p, []string{"shutdown"}); err == nil || exit(p.stderr, err) != 1 {
			t.Errorf("a second shutdown: %v", err)
		}
	})
}

func TestSignalFinishesTheRefreshUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{ReuseDetection: true})
		h.sandbox.OpenTicket.SetFaults(sandbox.Faults{SlowAfterCommit: 4 * time.Second})
		h.serve()
		time.Sleep(time.Second)
		began := time.Now()
		h.stop() // the token is spent, and its answer three seconds away
		if waited := time.Since(began); waited < 2*time.Second {
			t.Errorf("stopped after %v", waited)
		}
		h.sandbox.OpenTicket.SetFaults(sandbox.Faults{})
		h.serve()
		h.mustAnswer("openticket")
		if c := h.sandbox.OpenTicket.Counters(); c.TokenRequests != 1 || c.Reuses != 0 {
			t.Errorf("%+v", c)
		}
	})
}

func TestDrainAnswersWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{}, "TICKETPROXY_DRAIN_DELAY=5s")
		h.serve()
		h.mustAnswer("ticketpark")
		began := time.Now()
		h.stopping()
		time.Sleep(time.Second)
		if code, _ := h.admin("/readyz"); code != http.StatusServiceUnavailable {
			t.Errorf("readyz answers %d while draining", code)
		}
		if code, _ := h.admin("/livez"); code != http.StatusOK {
			t.Errorf("livez answers %d while draining", code)
		}
		h.mustAnswer("ticketpark")
		h.stop()
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("drained in %v", took)
		}
	})
}

func TestTakenPortIsNamed(t *testing.T) {
	t.Parallel()
	n := newNetwork()
	l, err := n.listen(context.Background(), "tcp", "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var out lockedBuffer
	p := &process{stdout: &out, stderr: &out, listen: n.listen, dial: n.dial, environ: []string{
		"TICKETPROXY_PROVIDER=socialboards", "TICKETPROXY_CLIENT_ID=x", "TICKETPROXY_STATE=file:" + filepath.Join(t.TempDir(), "state"),
	}}
	if code := exit(p.stderr, run(t.Context(), p, nil)); code != 1 || !strings.Contains(out.String(), "hint: choose another address with TICKETPROXY_LISTEN") {
		t.Errorf("exit %d:\n%s", code, out.String())
	}
}

// TestSocketOfAKilledProcessIsReplaced also holds that one which somebody
// listens on is not.
func TestSocketOfAKilledProcessIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l := &listener{address: config.Address{Network: "unix", Address: path}, mode: 0o600}
	p := &process{listen: new(netListener).listen}
	first, err := p.open(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
	if _, err := p.open(t.Context(), l); err == nil {
		t.Error("a socket in use was taken")
	}
	first[0].(*unixListener).Listener.Close() // as kill -9 leaves it
	second, err := p.open(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	closeAll(second)
}
