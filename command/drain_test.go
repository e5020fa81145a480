package command

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/sandbox"
)

// TestDrainNamesEveryLoss tests that a drain reports every lost refresh token, also when it
// cuts off requests.
func TestDrainNamesEveryLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sandbox.Options{Rotate: true, ReuseDetection: true})
		f.serve()
		for name := range ports() {
			f.mustAnswer(name)
		}
		state := filepath.Join(f.dir, "state")
		if err := os.RemoveAll(state); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(state, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, p := range f.sandbox.Providers() {
			p.RevokeAccess()
			f.ask(p.Name) // makes the account refresh
		}
		endless, app := io.Pipe()
		req, err := http.NewRequest(http.MethodPost, "http://"+ports()["ticketpark"]+"/events/", endless)
		if err != nil {
			t.Fatal(err)
		}
		go f.app.Do(req)
		go func() {
			for {
				if _, err := app.Write(make([]byte, 2000)); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		time.Sleep(time.Second)

		f.stopping()
		f.stopping = nil
		var out lockedBuffer
		p := f.env()
		p.Stderr = &out
		if code := ExitCode(p.Stderr, <-f.stopped); code != 1 {
			t.Errorf("exit %d, want 1", code)
		}
		endless.Close()
		lines := []string{"requests in flight were cut off"}
		for name := range ports() {
			lines = append(lines, fmt.Sprintf("draining %s: the refresh token that is held could not be stored and is lost: ", name))
		}
		for _, line := range lines {
			if n := strings.Count(out.String(), "ticketproxy: "+line); n != 1 {
				t.Errorf("%q is printed %d times, want once:\n%s", line, n, out.String())
			}
		}
	})
}
