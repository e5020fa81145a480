package e2e

import (
	"io"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

const (
	fewDescriptors = 512
	manySlow       = 2 * fewDescriptors
)

// TestFewDescriptors has more slow clients than the program may have files
// open, who come again when they are cut off. Tokens that live for seconds must
// still be refreshed and stored, probes be answered, and an honest app be
// served: on new connections too, where the slow have not begun a request that
// is served.
func TestFewDescriptors(t *testing.T) {
	for _, scenario := range []struct {
		name, slow string
		evicted    bool
	}{
		{"silent", "", true},
		{"headers", "GET /small HTTP/1.1\r\nHost: localhost\r\nX-A: ", true},
		{"bodies", "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc", false},
	} {
		t.Run(scenario.name, func(t *testing.T) {
			t.Parallel()
			f := newAPIFixture(t, startAPI(t), 3*time.Second)
			f.binary = withFileLimit(t, f.binary)
			f.start()
			f.awaitAllUsable(30 * time.Second)
			h := startHonestApp(t, f.address)
			if scenario.evicted {
				h.startFresh()
			}
			h.during(time.Second)
			was, began := readRecord(t, f.dir, f.account), time.Now()
			connectSlowly(t, f.address, manySlow, scenario.slow)
			for time.Since(began) < 6*time.Second {
				asked := time.Now()
				if ok, why := f.ready(); !ok || time.Since(asked) > time.Second {
					t.Errorf("/readyz answered %q after %v", why, time.Since(asked))
				}
				if n := f.descriptors(); n > fewDescriptors-16 {
					t.Errorf("%d descriptors are open, want some of %d to be left", n, fewDescriptors)
				}
				time.Sleep(200 * time.Millisecond)
			}
			if now := readRecord(t, f.dir, f.account); now.Generation < was.Generation+2 {
				t.Errorf("the state is of generation %d, want two after %d at least", now.Generation, was.Generation)
			}
			l := h.between(began, time.Now())
			t.Logf("%v", l)
			if failed := h.failures(); len(failed) > 0 {
				t.Errorf("an honest app was not answered: %q", failed)
			}
			if l.count == 0 || scenario.evicted && l.fresh == 0 {
				t.Error("an honest app was not served")
			}
		})
	}
}

// withFileLimit returns a program that may open few files.
func withFileLimit(t *testing.T, program string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "limited")
	script := "#!/bin/sh\nulimit -n " + strconv.Itoa(fewDescriptors) + "\nexec " + program + " \"$@\"\n"
	writeProgram(t, path, []byte(script))
	return path
}

// connectSlowly begins n requests that do not go on, until the test ends.
func connectSlowly(t *testing.T, address string, n int, beginning string) {
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for {
				c, err := net.Dial("tcp", address)
				if err != nil {
					return
				}
				io.WriteString(c, beginning)
				gone := make(chan struct{})
				go func() {
					io.Copy(io.Discard, c) // until it is cut off
					close(gone)
				}()
				select {
				case <-gone:
					c.Close()
				case <-stop:
					c.Close()
					<-gone
					return
				}
			}
		})
	}
	t.Cleanup(func() {
		close(stop)
		all.Wait()
	})
}
