package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A refreshFixture is a program with one account whose refresh is under way: the
// issuer has committed the rotation, the token response has not arrived, and a
// request is in flight.
type refreshFixture struct {
	*proxy
	account  string
	answered chan answer // the answer to the request in flight
}

// newRefreshFixture starts a program and waits until it has an access token.
func newRefreshFixture(t *testing.T, configure func(*exec.Cmd), more ...string) *refreshFixture {
	t.Helper()
	const account = "ticketpark"
	providers := map[string]*provider{account: startSandbox(t, time.Hour)[account]}
	s := &refreshFixture{proxy: newProxy(t, t.TempDir(), providers, more...), account: account}
	s.startWith(configure)
	s.awaitUsable(account, 30*time.Second)
	return s
}

// startRefresh makes a request that needs a new token. It returns when the issuer
// has redeemed the refresh token and before the token response arrives.
func (s *refreshFixture) startRefresh() {
	s.t.Helper()
	p := s.providers[s.account]
	before := p.counters().Redemptions
	p.slow(0, 2*time.Second)
	p.revoke()
	s.answered = make(chan answer, 1)
	go func() {
		a, _ := s.request(s.account)
		s.answered <- a
	}()
	await(s.t, 10*time.Second, "the issuer redeems the refresh token", func() bool { return p.counters().Redemptions > before })
}

// mustAnswer checks that the request in flight gets a 2xx answer.
func (s *refreshFixture) mustAnswer() {
	s.t.Helper()
	if a := <-s.answered; !a.ok() {
		s.t.Errorf("the request in flight: %+v, want 2xx", a)
	}
}

// mustHaveStored restarts the program and checks that it uses the stored new token.
func (s *refreshFixture) mustHaveStored() {
	s.t.Helper()
	p := s.providers[s.account]
	p.slow(0, 0)
	before := p.counters()
	s.start()
	s.awaitUsable(s.account, 30*time.Second)
	s.mustServe(s.account)
	if c := p.counters(); c.Redemptions != before.Redemptions || c.Reuses != 0 {
		s.t.Errorf("counters %+v, want those before the restart: %+v", c, before)
	}
}

func (s *refreshFixture) mustEnd(code int) {
	s.t.Helper()
	s.awaitEnd(30 * time.Second)
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("the process ended with %v, want exit code %d", s.cmd.ProcessState, code)
	}
}

// mustWarn checks that a metric and the status report the failing log.
func (s *refreshFixture) mustWarn() {
	s.t.Helper()
	if n := s.metric("ticketproxy_log_write_failures_total"); n < 1 {
		s.t.Errorf("ticketproxy_log_write_failures_total is %v, want at least 1", n)
	}
	cmd := exec.Command(binary, "status")
	cmd.Env = []string{"TICKETPROXY_ADMIN_LISTEN=" + s.admin}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "the log cannot be written") {
		s.t.Errorf("ticketproxy status: %v\n%s", err, out)
	}
}

// pipe returns a pipe that is closed when the test ends.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return r, w
}

// TestLogReaderExits tests "ticketproxy serve 2>&1 | jq" where jq exits first.
func TestLogReaderExits(t *testing.T) {
	t.Parallel()
	r, w := pipe(t)
	s := newRefreshFixture(t, func(cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = w, w })
	w.Close()
	r.Close()
	s.startRefresh()
	s.mustAnswer()
	s.mustWarn()
	s.mustServe(s.account)
	if code := s.terminate(30 * time.Second); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	s.mustHaveStored()
}

// TestLogReaderStopsReading logs to a pipe that is full and stays full.
func TestLogReaderStopsReading(t *testing.T) {
	t.Parallel()
	_, w := pipe(t)
	for full := make([]byte, 64<<10); ; { // fills the pipe
		if err := w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(full); err != nil {
			break
		}
	}
	s := newRefreshFixture(t, func(cmd *exec.Cmd) { cmd.Stderr = w }, "TICKETPROXY_LOG_LEVEL=debug")
	s.startRefresh()
	s.mustAnswer()
	for range 10_000 { // each logs some hundred bytes
		s.mustServe(s.account)
	}
	s.mustWarn()
	if code := s.terminate(30 * time.Second); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	s.mustHaveStored()
}

func TestLogOnFullDisk(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	s := newRefreshFixture(t, func(cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = full, full })
	s.startRefresh()
	s.mustAnswer()
	s.mustWarn()
	if code := s.terminate(30 * time.Second); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	s.mustHaveStored()
}

// TestStandardFilesClosed starts the program with stdin, stdout and stderr closed.
// No socket or state file may get one of their descriptors, because other code
// writes to those.
func TestStandardFilesClosed(t *testing.T) {
	t.Parallel()
	s := newRefreshFixture(t, func(cmd *exec.Cmd) {
		cmd.Args = []string{"sh", "-c", `exec "$0" serve <&- >&- 2>&-`, cmd.Path}
		cmd.Path = "/bin/sh"
	})
	s.startRefresh()
	s.mustAnswer()
	if code := s.terminate(30 * time.Second); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	s.mustHaveStored()
}
