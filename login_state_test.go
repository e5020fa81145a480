package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/sandbox"
)

// stored returns the texts of an account's record that are its tokens.
func (h *house) stored(account string) []string {
	h.t.Helper()
	data, err := os.ReadFile(filepath.Join(h.dir, "state", account+".json"))
	if err != nil {
		h.t.Fatal(err)
	}
	var tokens []string
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ": "); ok && strings.Contains(name, "_token") {
			tokens = append(tokens, strings.Trim(value, "\", \n"))
		}
	}
	if len(tokens) < 2 {
		h.t.Fatalf("the record of %s holds %d tokens", account, len(tokens))
	}
	return tokens
}

func TestLoginRevivesDeadAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{ReuseDetection: true, AccessLifetime: time.Minute})
		h.serve()
		logins := map[string]func() (int, string){
			"openticket":   func() (int, string) { return h.login(pipe(), h.allow, "openticket") },
			"socialboards": func() (int, string) { return h.login(pipe(h.sandbox.SocialBoards.Seed()), nil, "socialboards") },
			"ticketpark": func() (int, string) {
				return h.login(pipe(h.sandbox.Ticketpark.Username, h.sandbox.Ticketpark.Password), nil, "ticketpark")
			},
		}
		for _, p := range h.sandbox.Providers() {
			h.mustAnswer(p.Name)
			p.RevokeAll()
			res, body, err := h.ask(p.Name)
			if err != nil || res.Header.Get("Ticketproxy-Error") != "login_required" || !strings.Contains(body, "run ticketproxy login "+p.Name) {
				t.Fatalf("%s: %v %v %s", p.Name, res, err, body)
			}
			time.Sleep(time.Minute)
			status, out := logins[p.Name]()
			mustSay(t, status, 0, out, "account "+p.Name+": logged in, generation ")
			time.Sleep(time.Second)
			h.mustAnswer(p.Name)
			time.Sleep(3 * time.Minute)
			h.mustAnswer(p.Name)
			if c := p.Counters(); c.Reuses != 0 {
				t.Errorf("%s: %+v", p.Name, c)
			}
		}
		h.stop()
		h.serve() // with the seeds of old, which the logins outrank
		for name := range ports() {
			h.mustAnswer(name)
		}
	})
}

func TestLoginOutranksTheSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{})
		status, out := h.login(pipe(), h.allow, "openticket")
		mustSay(t, status, 0, out, "logged in, generation 1")
		h.serve()
		h.mustAnswer("openticket")
		if c := h.sandbox.OpenTicket.Counters(); c.TokenRequests != 1 {
			t.Errorf("the seed was redeemed: %+v", c)
		}
	})
}

func TestLoginWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newUnseededHouse(t, sandbox.Options{})
		began := time.Now()
		status, out := h.login(pipe(), func(string) error { return errors.New("no such program") }, "openticket", "--timeout", "90s")
		mustSay(t, status, 1, out, "No browser could be opened (no such program)", "waiting for the browser: nobody answered in time (1m30s)", "\nhint: ", "--timeout")
		if took := time.Since(began); took < 90*time.Second || took > 92*time.Second {
			t.Errorf("took %v", took)
		}
		silent, hangUp := io.Pipe()
		defer hangUp.Close()
		status, out = h.login(silent, nil, "ticketpark", "--timeout=10s")
		mustSay(t, status, 1, out, "asking for the user name: nobody answered in time (10s)", "\nhint: ")
	})
}

func TestLoginWhileTheStateIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newUnseededHouse(t, sandbox.Options{})
		state := filepath.Join(h.dir, "state")
		time.AfterFunc(time.Minute, func() {
			if err := os.Rename(state+"-away", state); err != nil {
				t.Error(err)
			}
		})
		status, out := h.login(pipe(), func(address string) error {
			h.allow(address)
			return os.Rename(state, state+"-away")
		}, "openticket")
		mustSay(t, status, 0, out, "The grant was obtained, but cannot be stored", "hint: see that its volume is mounted", "Trying again in 15s", "logged in, generation 1")
		mustNotShow(t, "login", out, h.stored("openticket")...)
		h.serve()
		h.mustAnswer("openticket")
	})
}

func TestLoginInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newUnseededHouse(t, sandbox.Options{})
		state := filepath.Join(h.dir, "state")
		login := func(browse func(string) error) (int, string) {
			out := new(lockedBuffer)
			p := h.process()
			p.stdout, p.stderr, p.browse = out, out, browse
			ctx, interrupt := context.WithCancel(t.Context())
			defer time.AfterFunc(30*time.Second, interrupt).Stop()
			return exit(p.stderr, run(ctx, p, []string{"login", "openticket"})), out.String()
		}
		status, out := login(func(string) error { return nil })
		mustSay(t, status, 1, out, "waiting for the browser: interrupted", "\nhint: no token was asked for")

		h.sandbox.OpenTicket.SetFaults(sandbox.Faults{SlowAfterCommit: 4 * time.Second})
		status, out = login(func(address string) error {
			time.Sleep(28 * time.Second)
			return h.allow(address)
		})
		mustSay(t, status, 0, out, "logged in, generation 1")
		h.sandbox.OpenTicket.SetFaults(sandbox.Faults{})

		began := time.Now()
		status, out = login(func(address string) error {
			h.allow(address)
			return os.Rename(state, state+"-away")
		})
		mustSay(t, status, 1, out, "the grant could not be stored and is lost", "\nhint: mend the state")
		if took := time.Since(began); took < 30*time.Second || took > 32*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestLoginToADamagedStateAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newUnseededHouse(t, sandbox.Options{})
		state := filepath.Join(h.dir, "state")
		if err := errors.Join(os.Mkdir(state, 0o700), os.WriteFile(filepath.Join(state, "socialboards.json"), []byte("{"), 0o600)); err != nil {
			t.Fatal(err)
		}
		status, out := h.login(pipe(h.sandbox.SocialBoards.Seed()), nil, "socialboards")
		mustSay(t, status, 1, out, "not a record", "\nhint: restore the file")
		if c := h.sandbox.SocialBoards.Counters(); c.TokenRequests != 0 {
			t.Errorf("%+v", c)
		}
	})
}
