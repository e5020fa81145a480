package command

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/sandbox"
)

// runCheck runs check and returns its exit code and output.
func runCheck(t *testing.T, f *fixture, more ...string) (int, string) {
	t.Helper()
	p := f.env()
	var out lockedBuffer
	p.Stdout, p.Environ = &out, append(p.Environ, more...)
	code := ExitCode(p.Stderr, Run(t.Context(), p, []string{"check"}))
	mustNotShow(t, "check", out.String(), f.seeds["ticketpark"], f.seeds["openticket"], f.seeds["socialboards"], f.sandbox.Ticketpark.ClientSecret)
	return code, out.String()
}

func TestCheckSpendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{})
		code, out := runCheck(t, f)
		if code != 0 || strings.Count(out, "\nok    ") != 10 || strings.Contains(out, "FAIL") {
			t.Errorf("exit %d:\n%s", code, out)
		}
		for _, p := range f.sandbox.Providers() {
			if c := p.Counters(); c.TokenRequests != 0 {
				t.Errorf("%s: %+v", p.Name, c)
			}
		}
		if _, err := os.Lstat(filepath.Join(f.dir, "state")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("check left the state directory behind: %v", err)
		}
		if err := os.Mkdir(filepath.Join(f.dir, "state"), 0o700); err != nil {
			t.Fatal(err)
		}
		runCheck(t, f)
		if files, err := os.ReadDir(filepath.Join(f.dir, "state")); err != nil || len(files) != 0 {
			t.Errorf("check left %v behind, error %v", files, err)
		}
	})
}

func TestCheckWhileServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{})
		f.serve()
		f.mustAnswer("ticketpark")
		if code, out := runCheck(t, f); code != 0 || !strings.Contains(out, "account ticketpark: generation 1") {
			t.Errorf("exit %d:\n%s", code, out)
		}
	})
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	for name, wrong := range map[string]struct {
		with func(t *testing.T, f *fixture) []string
		want string
	}{
		"issuer down": {func(t *testing.T, f *fixture) []string {
			return []string{"TICKETPROXY_TICKETPARK_TOKEN_URL=http://127.0.0.1:1/token"}
		}, "FAIL  issuer 127.0.0.1:1: "},
		"no seed": {func(t *testing.T, f *fixture) []string {
			return []string{"TICKETPROXY_TICKETPARK_REFRESH_TOKEN="}
		}, "FAIL  account ticketpark: there is no grant yet"},
		"state that others can read": {func(t *testing.T, f *fixture) []string {
			f.serve()
			f.mustAnswer("ticketpark")
			f.stop()
			if err := os.Chmod(filepath.Join(f.dir, "state", "ticketpark.json"), 0o644); err != nil {
				t.Fatal(err)
			}
			return nil
		}, "chmod 600"},
		"state that others can write": {func(t *testing.T, f *fixture) []string {
			if err := os.Mkdir(filepath.Join(f.dir, "state"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(f.dir, "state"), 0o777); err != nil {
				t.Fatal(err)
			}
			return nil
		}, "FAIL  state: "},
		"dead account": {func(t *testing.T, f *fixture) []string {
			f.sandbox.Ticketpark.RevokeAll()
			f.serve()
			time.Sleep(time.Minute)
			f.stop()
			return nil
		}, "FAIL  account ticketpark: issuer answered 400 invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, sandbox.Options{})
				code, out := runCheck(t, f, wrong.with(t, f)...)
				if code != 1 || !strings.Contains(out, wrong.want) || !strings.Contains(out, "hint: ") {
					t.Errorf("exit %d:\n%s", code, out)
				}
			})
		})
	}
}

func TestChangedSeedFileRevivesWithoutRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{})
		file := filepath.Join(f.dir, "seed")
		write := func(seed string, at time.Time) {
			t.Helper()
			if err := os.WriteFile(file, []byte(seed+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(file, at, at); err != nil {
				t.Fatal(err)
			}
		}
		write(f.sandbox.Ticketpark.Seed(), time.Now())
		f.environ = append(f.environ, "TICKETPROXY_TICKETPARK_REFRESH_TOKEN=", "TICKETPROXY_TICKETPARK_REFRESH_TOKEN_FILE="+file)
		f.serve()
		f.mustAnswer("ticketpark")
		f.sandbox.Ticketpark.RevokeAll()
		if res, body, err := f.ask("ticketpark"); err != nil || res.Header.Get("Ticketproxy-Error") != "login_required" {
			t.Fatalf("%v %v %s", res, err, body)
		}
		write(f.sandbox.Ticketpark.Seed(), time.Now().Add(time.Second))
		time.Sleep(2 * time.Second)
		f.mustAnswer("ticketpark")
		asked := f.sandbox.Ticketpark.Counters().TokenRequests
		time.Sleep(time.Minute)
		if again := f.sandbox.Ticketpark.Counters().TokenRequests; again != asked {
			t.Errorf("%d token requests, then %d", asked, again)
		}
	})
}
