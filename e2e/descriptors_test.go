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

// TestFewDescriptors opens more slow connections than the program may have file
// descriptors. The clients reconnect when they are cut off. The program must still
// refresh and store short-lived tokens, answer probes and serve an honest app. It
// must also serve new connections, unless the slow clients have requests under way.
func TestFewDescriptors(t *testing.T) {
	for _, scenario := range []struct {
		name, slow string
		evicted    bool // whether the program closes such connections to make room
	}{
		{"silent", "", true},
		{"headers", "GET /small HTTP/1.1\r\nHost: localhost\r\nX-A: ", true},
		{"bodies", "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc", false},
	} {
		t.Run(scenario.name, func(t *testing.T) { // not parallel: a thousand clients reconnect without end
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
					t.Errorf("%d descriptors are open, want at least 16 of %d free", n, fewDescriptors)
				}
				time.Sleep(200 * time.Millisecond)
			}
			if now := readRecord(t, f.dir, f.account); now.Generation < was.Generation+2 {
				t.Errorf("the state has generation %d, want at least two more than %d", now.Generation, was.Generation)
			}
			l := h.between(began, time.Now())
			t.Logf("%v", l)
			if failed := h.failures(); len(failed) > 0 {
				t.Errorf("honest app requests failed: %q", failed)
			}
			if l.count == 0 || scenario.evicted && l.fresh == 0 {
				t.Error("the honest app was not served")
			}
		})
	}
}

// withFileLimit returns a script that runs the program with few file descriptors.
func withFileLimit(t *testing.T, program string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "limited")
	script := "#!/bin/sh\nulimit -n " + strconv.Itoa(fewDescriptors) + "\nexec " + program + " \"$@\"\n"
	writeProgram(t, path, []byte(script))
	return path
}

// connectSlowly keeps n incomplete requests open until the test ends.
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
					io.Copy(io.Discard, c) // until the program closes the connection
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
