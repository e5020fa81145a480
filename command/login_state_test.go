package command

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

// stored returns the tokens in an account's record.
func (f *fixture) stored(account string) []string {
	f.t.Helper()
	data, err := os.ReadFile(filepath.Join(f.dir, "state", account+".json"))
	if err != nil {
		f.t.Fatal(err)
	}
	var tokens []string
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ": "); ok && strings.Contains(name, "_token") {
			tokens = append(tokens, strings.Trim(value, "\", \n"))
		}
	}
	if len(tokens) < 2 {
		f.t.Fatalf("the record of %s holds %d tokens", account, len(tokens))
	}
	return tokens
}

func TestLoginRevivesDeadAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{ReuseDetection: true, AccessLifetime: time.Minute})
		f.serve()
		logins := map[string]func() (int, string){
			"openticket":   func() (int, string) { return f.login(pipe(), f.allow, "openticket") },
			"socialboards": func() (int, string) { return f.login(pipe(f.sandbox.SocialBoards.Seed()), nil, "socialboards") },
			"ticketpark": func() (int, string) {
				return f.login(pipe(f.sandbox.Ticketpark.Username, f.sandbox.Ticketpark.Password), nil, "ticketpark")
			},
		}
		for _, p := range f.sandbox.Providers() {
			f.mustAnswer(p.Name)
			p.RevokeAll()
			res, body, err := f.ask(p.Name)
			if err != nil || res.Header.Get("Ticketproxy-Error") != "login_required" || !strings.Contains(body, "run ticketproxy login "+p.Name) {
				t.Fatalf("%s: %v %v %s", p.Name, res, err, body)
			}
			time.Sleep(time.Minute)
			status, out := logins[p.Name]()
			mustPrint(t, status, 0, out, "account "+p.Name+": logged in, generation ")
			time.Sleep(time.Second)
			f.mustAnswer(p.Name)
			time.Sleep(3 * time.Minute)
			f.mustAnswer(p.Name)
			if c := p.Counters(); c.Reuses != 0 {
				t.Errorf("%s: %+v", p.Name, c)
			}
		}
		f.stop()
		f.serve() // with the old seeds, which the logins outrank
		for name := range ports() {
			f.mustAnswer(name)
		}
	})
}

func TestLoginOutranksTheSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{})
		status, out := f.login(pipe(), f.allow, "openticket")
		mustPrint(t, status, 0, out, "logged in, generation 1")
		f.serve()
		f.mustAnswer("openticket")
		if c := f.sandbox.OpenTicket.Counters(); c.TokenRequests != 1 {
			t.Errorf("the seed was redeemed: %+v", c)
		}
	})
}

func TestLoginWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newUnseededFixture(t, sandbox.Options{})
		start := time.Now()
		status, out := f.login(pipe(), func(string) error { return errors.New("no such program") }, "openticket", "--timeout", "90s")
		mustPrint(t, status, 1, out, "No browser could be opened (no such program)", "waiting for the browser: nobody answered in time (1m30s)", "\nhint: ", "--timeout")
		if took := time.Since(start); took < 90*time.Second || took > 92*time.Second {
			t.Errorf("took %v", took)
		}
		silent, closeInput := io.Pipe()
		defer closeInput.Close()
		status, out = f.login(silent, nil, "ticketpark", "--timeout=10s")
		mustPrint(t, status, 1, out, "asking for the user name: nobody answered in time (10s)", "\nhint: ")
	})
}

func TestLoginWhileTheStateIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newUnseededFixture(t, sandbox.Options{})
		state := filepath.Join(f.dir, "state")
		time.AfterFunc(time.Minute, func() {
			if err := os.Rename(state+"-away", state); err != nil {
				t.Error(err)
			}
		})
		status, out := f.login(pipe(), func(address string) error {
			f.allow(address)
			return os.Rename(state, state+"-away")
		}, "openticket")
		mustPrint(t, status, 0, out, "The grant was obtained, but cannot be stored", "hint: see that its volume is mounted", "Trying again in 15s", "logged in, generation 1")
		mustNotShow(t, "login", out, f.stored("openticket")...)
		f.serve()
		f.mustAnswer("openticket")
	})
}

func TestLoginInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newUnseededFixture(t, sandbox.Options{})
		state := filepath.Join(f.dir, "state")
		login := func(browse func(string) error) (int, string) {
			out := new(lockedBuffer)
			p := f.env()
			p.Stdout, p.Stderr, p.Browse = out, out, browse
			ctx, interrupt := context.WithCancel(t.Context())
			defer time.AfterFunc(30*time.Second, interrupt).Stop()
			return ExitCode(p.Stderr, Run(ctx, p, []string{"login", "openticket"})), out.String()
		}
		status, out := login(func(string) error { return nil })
		mustPrint(t, status, 1, out, "waiting for the browser: interrupted", "\nhint: no token was asked for")

		f.sandbox.OpenTicket.SetFaults(sandbox.Faults{SlowAfterCommit: 4 * time.Second})
		status, out = login(func(address string) error {
			time.Sleep(28 * time.Second)
			return f.allow(address)
		})
		mustPrint(t, status, 0, out, "logged in, generation 1")
		f.sandbox.OpenTicket.SetFaults(sandbox.Faults{})

		start := time.Now()
		status, out = login(func(address string) error {
			f.allow(address)
			return os.Rename(state, state+"-away")
		})
		mustPrint(t, status, 1, out, "the grant could not be stored and is lost", "\nhint: make the state writable")
		if took := time.Since(start); took < 30*time.Second || took > 32*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestLoginWithADamagedRecordSendsNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newUnseededFixture(t, sandbox.Options{})
		state := filepath.Join(f.dir, "state")
		if err := errors.Join(os.Mkdir(state, 0o700), os.WriteFile(filepath.Join(state, "socialboards.json"), []byte("{"), 0o600)); err != nil {
			t.Fatal(err)
		}
		status, out := f.login(pipe(f.sandbox.SocialBoards.Seed()), nil, "socialboards")
		mustPrint(t, status, 1, out, "not a record", "\nhint: move the file away")
		if c := f.sandbox.SocialBoards.Counters(); c.TokenRequests != 0 {
			t.Errorf("%+v", c)
		}
	})
}

// TestLoginAsksNothingWithoutAState tests that a state that can be read and not written is
// found before the issuer is asked. A directory in place of the record's lock is such a state.
func TestLoginAsksNothingWithoutAState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newUnseededFixture(t, sandbox.Options{})
		state := filepath.Join(f.dir, "state")
		key := newStateKey(t)
		file, _ := keyFile(t, key)
		environ := f.environ
		for _, variable := range []string{"", file, "TICKETPROXY_STATE_RECIPIENT=" + key.recipient} {
			f.environ = environ
			if variable != "" {
				f.environ = append(environ[:len(environ):len(environ)], variable)
			}
			if err := os.MkdirAll(filepath.Join(state, "openticket.lock"), 0o700); err != nil {
				t.Fatal(err)
			}
			status, out := f.login(pipe(), func(string) error {
				t.Error("the browser was opened")
				return errors.New("no browser")
			}, "openticket")
			mustPrint(t, status, 1, out, "the state cannot be written to, so nothing was asked of the issuer: ", "openticket.lock", "\nhint: make ")
			entries, err := os.ReadDir(state)
			if err != nil || len(entries) != 1 {
				t.Errorf("the probe left %v, %v", entries, err)
			}
		}
		if c := f.sandbox.OpenTicket.Counters(); c.TokenRequests != 0 {
			t.Errorf("%+v", c)
		}
		f.environ = environ
		if err := os.Remove(filepath.Join(state, "openticket.lock")); err != nil {
			t.Fatal(err)
		}
		status, out := f.login(pipe(), f.allow, "openticket")
		mustPrint(t, status, 0, out, "logged in, generation 1")
	})
}

// TestReaderCannotLogIn tests that login refuses a reader, and says where it can be run.
func TestReaderCannotLogIn(t *testing.T) {
	t.Parallel()
	var out lockedBuffer
	env := &Env{Stdout: &out, Stderr: &out, Environ: []string{
		"TICKETPROXY_PROVIDER=ticketpark", "TICKETPROXY_ROLE=reader", "TICKETPROXY_STATE=kubernetes:tickets/state",
	}}
	code := ExitCode(env.Stderr, Run(t.Context(), env, []string{"login"}))
	mustPrint(t, code, 2, out.String(), "a reader cannot log in")
	mustPrint(t, code, 2, out.String(), "where a refresher of kubernetes:tickets/state is configured")
}
