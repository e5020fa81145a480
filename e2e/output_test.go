package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A refreshFixture is an account with a request in flight, whose refresh token the
// issuer has spent and whose new one is on its way.
type refreshFixture struct {
	*proxy
	account  string
	answered chan answer // of the request in flight
}

// newRefreshFixture starts an instance that has an access token.
func newRefreshFixture(t *testing.T, configure func(*exec.Cmd), more ...string) *refreshFixture {
	t.Helper()
	const account = "ticketpark"
	providers := map[string]*provider{account: startSandbox(t, time.Hour)[account]}
	s := &refreshFixture{proxy: newProxy(t, t.TempDir(), providers, more...), account: account}
	s.startWith(configure)
	s.awaitUsable(account, 30*time.Second)
	return s
}

// spend makes a request that needs a new token, and returns while the answer to
// the token request is on its way.
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
	await(s.t, 10*time.Second, "the refresh token is spent", func() bool { return p.counters().Redemptions > before })
}

// mustAnswer checks that the request in flight was answered.
func (s *refreshFixture) mustAnswer() {
	s.t.Helper()
	if a := <-s.answered; !a.ok() {
		s.t.Errorf("the request in flight: %+v, want 2xx", a)
	}
}

// mustHaveStored checks that the next process goes on with the new token.
func (s *refreshFixture) mustHaveStored() {
	s.t.Helper()
	p := s.providers[s.account]
	p.slow(0, 0)
	before := p.counters()
	s.start()
	s.awaitUsable(s.account, 30*time.Second)
	s.mustServe(s.account)
	if c := p.counters(); c.Redemptions != before.Redemptions || c.Reuses != 0 {
		s.t.Errorf("%+v, and %+v before the restart", c, before)
	}
}

func (s *refreshFixture) mustEnd(code int) {
	s.t.Helper()
	s.awaitEnd(30 * time.Second)
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("the process ended with %v, want exit code %d", s.cmd.ProcessState, code)
	}
}

// mustWarn checks that the loss of the log is shown.
func (s *refreshFixture) mustWarn() {
	s.t.Helper()
	if n := s.metric("ticketproxy_log_write_failures_total"); n < 1 {
		s.t.Errorf("ticketproxy_log_write_failures_total is %v", n)
	}
	cmd := exec.Command(binary, "status")
	cmd.Env = []string{"TICKETPROXY_ADMIN_LISTEN=" + s.admin}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "the log cannot be written") {
		s.t.Errorf("ticketproxy status: %v\n%s", err, out)
	}
}

// pipe returns a pipe of one page, whose ends close with the test.
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

// TestLogReaderExits is "ticketproxy serve 2>&1 | jq" when jq ends first.
func TestLogReaderExits(t *testing.T) {
	t.Parallel()
	r, w := pipe(t)
	s := newRefreshFixture(t, func(cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = w, w })
	s.startRefresh()
	w.Close()
	r.Close()
	s.mustAnswer()
	s.mustWarn()
	s.mustServe(s.account)
	if code := s.terminate(30 * time.Second); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	s.mustHaveStored()
}

// TestLogReaderStopsReading: the pipe is full, and stays so.
func TestLogReaderStopsReading(t *testing.T) {
	t.Parallel()
	_, w := pipe(t)
	for full := make([]byte, 64<<10); ; { // all but what serve says until it has a token
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
	for range 10_000 { // some hundred bytes each
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

// TestStandardFilesClosed: no socket and no file of the state gets the
// number of a standard file, to which others write.
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
