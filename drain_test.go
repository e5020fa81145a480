package main

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

// TestDrainNamesEveryLoss: a request that is cut off hides no lost refresh
// token, and one lost account hides no other.
func TestDrainNamesEveryLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sandbox.Options{Rotate: true, ReuseDetection: true})
		h.serve()
		for name := range ports() {
			h.mustAnswer(name)
		}
		state := filepath.Join(h.dir, "state")
		if err := os.RemoveAll(state); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(state, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, p := range h.sandbox.Providers() {
			p.RevokeAccess()
			h.ask(p.Name) // makes the account refresh
		}
		endless, app := io.Pipe()
		req, err := http.NewRequest(http.MethodPost, "http://"+ports()["ticketpark"]+"/events/", endless)
		if err != nil {
			t.Fatal(err)
		}
		go h.app.Do(req)
		go func() {
			for {
				if _, err := app.Write(make([]byte, 2000)); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		time.Sleep(time.Second)

		h.stopping()
		h.stopping = nil
		var out lockedBuffer
		p := h.process()
		p.stderr = &out
		if code := exit(p.stderr, <-h.stopped); code != 1 {
			t.Errorf("exit %d, want 1", code)
		}
		endless.Close()
		lines := []string{"requests in flight were cut off"}
		for name := range ports() {
			lines = append(lines, fmt.Sprintf("draining %s: the refresh token that is held could not be stored and is lost: ", name))
		}
		for _, line := range lines {
			if n := strings.Count(out.String(), "ticketproxy: "+line); n != 1 {
				t.Errorf("%q is said %d times, want once:\n%s", line, n, out.String())
			}
		}
	})
}
