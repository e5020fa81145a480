package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A life is one process whose files and signals a test has in hand.
type life struct {
	*proxy
	account  string
	provider *provider
}

func newLife(t *testing.T, more ...string) *life {
	t.Helper()
	issuer := startSandbox(t, 8*time.Second)["ticketpark"]
	p := newProxy(t, filepath.Join(t.TempDir(), "state"), map[string]*provider{"ticketpark": issuer}, more...)
	return &life{proxy: p, account: "ticketpark", provider: issuer}
}

// run starts the program with the given files, and waits until it is usable.
func (l *life) run(stdin, stdout, stderr *os.File, attributes *syscall.SysProcAttr) {
	l.t.Helper()
	l.cmd = exec.Command(l.binary, "serve")
	l.cmd.Env = l.environ()
	l.cmd.Stdin, l.cmd.Stdout, l.cmd.Stderr = stdin, stdout, stderr
	if stderr == nil {
		l.cmd.Stderr = &l.stderr
	}
	l.cmd.SysProcAttr = attributes
	if err := l.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	ended := make(chan struct{})
	l.ended = ended
	go func(cmd *exec.Cmd) {
		cmd.Wait()
		close(ended)
	}(l.cmd)
	l.awaitUsable(l.account, 10*time.Second)
}

// endDuringRefresh calls end while a token request is under way and committed,
// with a request of an app in flight, and checks that neither was cut: the
// process ends with code 0, and another goes on with the grant.
func (l *life) endDuringRefresh(end func()) {
	l.t.Helper()
	before := l.provider.counters().Redemptions
	l.provider.slow(0, 1500*time.Millisecond)
	await(l.t, 20*time.Second, "a refresh is under way", func() bool { return l.provider.counters().Redemptions > before })
	l.mustServe(l.account)
	end()
	l.awaitEnd(30 * time.Second)
	if code := l.cmd.ProcessState.ExitCode(); code != 0 {
		l.t.Errorf("%v, want exit code 0", l.cmd.ProcessState)
	}
	l.provider.slow(0, 0)
	l.start()
	l.awaitUsable(l.account, 10*time.Second)
	time.Sleep(9 * time.Second) // and refreshes on
	l.mustServe(l.account)
	if c := l.provider.counters(); c.Reuses != 0 || c.InvalidGrants != 0 {
		l.t.Errorf("the sandbox counted %+v", c)
	}
	if code := l.terminate(30 * time.Second); code != 0 {
		l.t.Errorf("exit code %d", code)
	}
}

func (l *life) metric(name string) string {
	l.t.Helper()
	res, err := control.Get("http://" + l.admin + "/metrics")
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return value
		}
	}
	return ""
}

// The reader of stdout and stderr leaves before the program, as jq does at Ctrl-C.
func TestReaderOfTheLogLeaves(t *testing.T) {
	t.Parallel()
	l := newLife(t, "TICKETPROXY_LOG_LEVEL=debug")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	l.run(nil, write, write, nil)
	write.Close()
	read.Close()
	l.mustServe(l.account)
	await(t, 5*time.Second, "status tells of it", func() bool {
		_, why := l.ready()
		return strings.Contains(why, "lines of the log were lost since") && strings.Contains(why, "broken pipe")
	})
	if lost := l.metric("ticketproxy_log_lines_lost_total"); lost == "" || lost == "0" {
		t.Errorf("the metric says %q", lost)
	}
	l.endDuringRefresh(func() { l.signal(syscall.SIGTERM) })
}

// The reader of the log stays and reads nothing, as a pager does.
func TestReaderOfTheLogStopsReading(t *testing.T) {
	t.Parallel()
	l := newLife(t, "TICKETPROXY_LOG_LEVEL=debug")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	l.run(nil, write, write, nil)
	write.Close()
	for range 5000 { // some 300 bytes of log each; a pipe holds 64 KiB
		l.mustServe(l.account)
	}
	if _, why := l.ready(); !strings.Contains(why, "lines of the log were lost since") {
		t.Errorf("/readyz?verbose says %q", why)
	}
	l.endDuringRefresh(func() { l.signal(syscall.SIGTERM) })
}

// Nothing can be written to the log, or stdin, stdout and stderr are closed.
func TestLogThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	t.Run("full", func(t *testing.T) {
		t.Parallel()
		l := newLife(t, "TICKETPROXY_LOG_LEVEL=debug")
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		l.run(nil, full, full, nil)
		await(t, 5*time.Second, "status tells of it", func() bool {
			_, why := l.ready()
			return strings.Contains(why, "no space left on device")
		})
		l.endDuringRefresh(func() { l.signal(syscall.SIGTERM) })
	})
	t.Run("closed", func(t *testing.T) {
		t.Parallel()
		l := newLife(t, "TICKETPROXY_LOG_LEVEL=debug")
		program := l.binary
		l.binary = filepath.Join(t.TempDir(), "closed")
		script := fmt.Sprintf("#!/bin/sh\nexec %s \"$@\" <&- >&- 2>&-\n", program)
		if err := os.WriteFile(l.binary, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		l.start()
		l.awaitUsable(l.account, 10*time.Second)
		l.endDuringRefresh(func() { l.signal(syscall.SIGTERM) })
	})
}

// SIGQUIT drains, too: Ctrl-\ must not cost an account.
func TestQuitSignalDrains(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.run(nil, nil, nil, nil)
	l.endDuringRefresh(func() { l.signal(syscall.SIGQUIT) })
}

// A second signal cuts off requests, and no token request.
func TestSecondSignalCutsOffRequestsAlone(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	l.run(nil, nil, nil, nil)
	l.endDuringRefresh(func() {
		l.signal(syscall.SIGINT)
		await(t, 5*time.Second, "it drains", func() bool { return strings.Contains(l.stderr.String(), `"draining"`) })
		l.signal(syscall.SIGINT)
	})
}

// The terminal on which the program runs is closed, with and without a log that
// goes elsewhere.
func TestClosedTerminalDrains(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"log on it", "log elsewhere"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLife(t)
			ours, theirs := openTerminal(t)
			stderr := theirs
			if name == "log elsewhere" {
				null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer null.Close()
				stderr = null
			}
			l.run(theirs, stderr, stderr, &syscall.SysProcAttr{Setsid: true, Setctty: true})
			theirs.Close()
			l.endDuringRefresh(func() { ours.Close() })
		})
	}
}

// openTerminal returns both ends of a new pseudo-terminal.
func openTerminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// SIGHUP without a terminal that went away has files read again: a new client
// secret heals an account that the issuer refused, and a wrong file is told of.
func TestHangupReadsFilesAgain(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	var secret, file string
	for i, setting := range l.provider.settings {
		if value, ok := strings.CutPrefix(setting, "CLIENT_SECRET="); ok {
			secret = value
			l.provider.settings[i] = "CLIENT_SECRET_FILE=" + filepath.Join(t.TempDir(), "secret")
			file = strings.TrimPrefix(l.provider.settings[i], "CLIENT_SECRET_FILE=")
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("not-the-right-one")
	l.start()
	await(t, 10*time.Second, "the issuer refuses the client", func() bool {
		return strings.Contains(l.status(l.account).Error, "invalid_client")
	})
	write("two\nlines")
	l.signal(syscall.SIGHUP)
	await(t, 10*time.Second, "status tells of the wrong file", func() bool {
		_, why := l.ready()
		return strings.Contains(why, "the files could not be read again at") && !strings.Contains(why, "two")
	})
	write(secret)
	l.signal(syscall.SIGHUP)
	l.awaitUsable(l.account, 10*time.Second)
	if _, why := l.ready(); strings.Contains(why, "warning") {
		t.Errorf("still warns: %q", why)
	}
	l.mustServe(l.account)
	if code := l.terminate(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// What went wrong at the end is told of, all of it and each thing once: two
// accounts are lost with the state, and a request was cut off.
func TestEndTellsOfAllThatIsLost(t *testing.T) {
	t.Parallel()
	providers := startSandbox(t, 6*time.Second)
	delete(providers, "ticketpark")
	p := newProxy(t, filepath.Join(t.TempDir(), "state"), providers, "TICKETPROXY_DRAIN_TIMEOUT=3s")
	hung := make(chan struct{})
	defer close(hung)
	providers["openticket"].upstream(serveAPI(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body.Close(); r.URL.Path == "/hang" {
			<-hung
		}
	})))
	p.start()
	p.awaitAllUsable(10 * time.Second)
	go func() {
		if res, err := http.Get("http://" + p.listen["openticket"] + "/hang"); err == nil {
			res.Body.Close()
		}
	}()
	if err := os.RemoveAll(p.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for account := range providers {
		await(t, 20*time.Second, account+" is unsaved", func() bool { return p.status(account).State == "unsaved" })
	}
	if code := p.terminate(30 * time.Second); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	said := p.stderr.String()
	for _, want := range []string{"requests in flight were cut off", "draining openticket: the refresh token", "draining socialboards: the refresh token"} {
		if n := strings.Count(said, "ticketproxy: "+want); n != 1 {
			t.Errorf("said %d times: %q", n, want)
		}
	}
	if bytes.Contains([]byte(said), []byte(providers["openticket"].seed)) {
		t.Error("a refresh token was shown")
	}
}
