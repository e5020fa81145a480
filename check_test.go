package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/sandbox"
)

// checked runs check and returns its exit code and what it printed.
func checked(t *testing.T, h *house, more ...string) (int, string) {
	t.Helper()
	p := h.process()
	var out lockedBuffer
	p.stdout, p.environ = &out, append(p.environ, more...)
	code := exit(p.stderr, run(t.Context(), p, []string{"check"}))
	mustNotShow(t, "check", out.String(), h.seeds["ticketpark"], h.seeds["openticket"], h.seeds["socialboards"], h.sandbox.Ticketpark.ClientSecret)
	return code, out.String()
}

func TestCheckSpendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{})
		code, out := checked(t, h)
		if code != 0 || strings.Count(out, "\nok    ") != 10 || strings.Contains(out, "FAIL") {
			t.Errorf("exit %d:\n%s", code, out)
		}
		for _, p := range h.sandbox.Providers() {
			if c := p.Counters(); c.TokenRequests != 0 {
				t.Errorf("%s: %+v", p.Name, c)
			}
		}
		files, err := os.ReadDir(filepath.Join(h.dir, "state"))
		if err != nil || len(files) != 0 {
			t.Errorf("check left %v behind, error %v", files, err)
		}
	})
}

func TestCheckWhileServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{})
		h.serve()
		h.mustAnswer("ticketpark")
		if code, out := checked(t, h); code != 0 || !strings.Contains(out, "account ticketpark: generation 1") {
			t.Errorf("exit %d:\n%s", code, out)
		}
	})
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	for name, wrong := range map[string]struct {
		with func(t *testing.T, h *house) []string
		want string
	}{
		"issuer down": {func(t *testing.T, h *house) []string {
			return []string{"TICKETPROXY_TICKETPARK_TOKEN_URL=http://127.0.0.1:1/token"}
		}, "FAIL  issuer 127.0.0.1:1: "},
		"no seed": {func(t *testing.T, h *house) []string {
			return []string{"TICKETPROXY_TICKETPARK_REFRESH_TOKEN="}
		}, "FAIL  account ticketpark: there is no grant yet"},
		"state that others can read": {func(t *testing.T, h *house) []string {
			h.serve()
			h.mustAnswer("ticketpark")
			h.stop()
			if err := os.Chmod(filepath.Join(h.dir, "state", "ticketpark.json"), 0o644); err != nil {
				t.Fatal(err)
			}
			return nil
		}, "chmod 600"},
		"state that others can write": {func(t *testing.T, h *house) []string {
			if err := os.Mkdir(filepath.Join(h.dir, "state"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(h.dir, "state"), 0o777); err != nil {
				t.Fatal(err)
			}
			return nil
		}, "FAIL  state: "},
		"dead account": {func(t *testing.T, h *house) []string {
			h.sandbox.Ticketpark.RevokeAll()
			h.serve()
			time.Sleep(time.Minute)
			h.stop()
			return nil
		}, "FAIL  account ticketpark: issuer answered 400 invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, sandbox.Options{})
				code, out := checked(t, h, wrong.with(t, h)...)
				if code != 1 || !strings.Contains(out, wrong.want) || !strings.Contains(out, "hint: ") {
					t.Errorf("exit %d:\n%s", code, out)
				}
			})
		})
	}
}

func TestChangedSeedFileRevivesWithoutRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{})
		file := filepath.Join(h.dir, "seed")
		write := func(seed string, at time.Time) {
			t.Helper()
			if err := os.WriteFile(file, []byte(seed+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(file, at, at); err != nil {
				t.Fatal(err)
			}
		}
		write(h.sandbox.Ticketpark.Seed(), time.Now())
		h.environ = append(h.environ, "TICKETPROXY_TICKETPARK_REFRESH_TOKEN=", "TICKETPROXY_TICKETPARK_REFRESH_TOKEN_FILE="+file)
		h.serve()
		h.mustAnswer("ticketpark")
		h.sandbox.Ticketpark.RevokeAll()
		if res, body, err := h.ask("ticketpark"); err != nil || res.Header.Get("Ticketproxy-Error") != "login_required" {
			t.Fatalf("%v %v %s", res, err, body)
		}
		write(h.sandbox.Ticketpark.Seed(), time.Now().Add(time.Second))
		time.Sleep(2 * time.Second)
		h.mustAnswer("ticketpark")
		asked := h.sandbox.Ticketpark.Counters().TokenRequests
		time.Sleep(time.Minute)
		if again := h.sandbox.Ticketpark.Counters().TokenRequests; again != asked {
			t.Errorf("%d token requests, then %d", asked, again)
		}
	})
}
