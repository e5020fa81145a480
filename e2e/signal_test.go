package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// A pseudoTerminal is a pair of terminal files (pty(7)).
type pseudoTerminal struct{ master, terminal *os.File }

func newPseudoTerminal(t *testing.T) *pseudoTerminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("SKIPPED: TERMINAL SIGNALS ARE NOT TESTED because there is no pseudoterminal: ", err)
	}
	t.Cleanup(func() { master.Close() })
	var number, unlocked uint32
	for request, argument := range map[uintptr]*uint32{syscall.TIOCGPTN: &number, syscall.TIOCSPTLCK: &unlocked} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), request, uintptr(unsafe.Pointer(argument))); errno != 0 {
			t.Fatal(errno)
		}
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("SKIPPED: TERMINAL SIGNALS ARE NOT TESTED because there is no pseudoterminal: ", err)
	}
	t.Cleanup(func() { terminal.Close() })
	return &pseudoTerminal{master, terminal}
}

// run makes a command run on the terminal, in the foreground.
func (s *pseudoTerminal) run(cmd *exec.Cmd) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.terminal, s.terminal, s.terminal
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
}

// close acts like a closed terminal window.
func (s *pseudoTerminal) close() {
	s.terminal.Close()
	s.master.Close()
}

// daemon makes a command run without a terminal.
func daemon(cmd *exec.Cmd) { cmd.SysProcAttr.Setsid = true }

// script makes a shell run a command line, in which $0 is the program.
func script(line string) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		cmd.Args = []string{"sh", "-c", line, cmd.Path}
		cmd.Path = "/bin/sh"
	}
}

// TestSignalsDuringRefresh ends the process in several ways during a refresh. The
// program must store the new refresh token and answer the waiting request.
func TestSignalsDuringRefresh(t *testing.T) {
	t.Parallel()
	send := func(signals ...syscall.Signal) func(*refreshFixture, *pseudoTerminal) {
		return func(s *refreshFixture, _ *pseudoTerminal) {
			for _, signal := range signals {
				s.signal(signal)
			}
		}
	}
	type configureFunc func(*pseudoTerminal, *exec.Cmd)
	onTerminal := configureFunc((*pseudoTerminal).run)
	underShell := func(line string) configureFunc {
		return func(s *pseudoTerminal, cmd *exec.Cmd) {
			s.run(cmd)
			script(line)(cmd)
		}
	}
	for name, scenario := range map[string]struct {
		configure configureFunc
		end       func(*refreshFixture, *pseudoTerminal)
	}{
		"SIGTERM":               {nil, send(syscall.SIGTERM)},
		"SIGINT":                {nil, send(syscall.SIGINT)},
		"SIGQUIT":               {nil, send(syscall.SIGQUIT)},
		"Ctrl-\\ on a terminal": {onTerminal, func(_ *refreshFixture, s *pseudoTerminal) { s.master.Write([]byte{0x1c}) }},
		"a closed terminal":     {onTerminal, func(_ *refreshFixture, s *pseudoTerminal) { s.close() }},
		// The shell is the session leader. When it ends, the program gets SIGHUP while
		// the terminal is still open.
		"a killed shell": {underShell(`"$0" serve & wait`), func(s *refreshFixture, _ *pseudoTerminal) {
			s.signal(syscall.SIGKILL)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pty := newPseudoTerminal(t)
			s := newRefreshFixture(t, func(cmd *exec.Cmd) {
				if scenario.configure != nil {
					scenario.configure(pty, cmd)
				}
			}, "TICKETPROXY_DRAIN_DELAY=1s")
			s.startRefresh()
			scenario.end(s, pty)
			s.mustAnswer()
			if name == "a killed shell" {
				await(t, 30*time.Second, "the program has ended", func() bool {
					_, err := control.Get("http://" + s.admin + "/livez")
					return err != nil
				})
			} else {
				s.mustEnd(0)
			}
			if strings.Contains(s.stderr.String(), "goroutine ") {
				t.Error("the program prints its stacks")
			}
			s.mustHaveStored()
		})
	}
}

// TestSecondSignalStoresGrant checks that a second signal ends all requests but the
// token request.
func TestSecondSignalStoresGrant(t *testing.T) {
	t.Parallel()
	s := newRefreshFixture(t, daemon, "TICKETPROXY_DRAIN_DELAY=1h")
	s.startRefresh()
	s.signal(syscall.SIGINT)
	await(t, 10*time.Second, "the drain begins", func() bool {
		return strings.Contains(s.stderr.String(), `"draining"`)
	})
	s.signal(syscall.SIGINT)
	await(t, 10*time.Second, "the program logs the second signal", func() bool {
		return strings.Contains(s.stderr.String(), "second signal")
	})
	s.signal(syscall.SIGTERM) // a third signal changes nothing
	s.mustEnd(1)
	if !strings.Contains(s.stderr.String(), "ticketproxy: requests in flight were cut off") {
		t.Error("stderr does not say that requests were cut off")
	}
	s.mustHaveStored()
}

// TestSIGHUPDoesNotEndProcess sends SIGHUP without a terminal, on an open terminal and
// under nohup. The program must keep running.
func TestSIGHUPDoesNotEndProcess(t *testing.T) {
	t.Parallel()
	for name, scenario := range map[string]struct {
		configure func(*pseudoTerminal, *exec.Cmd)
		hangUp    func(*refreshFixture, *pseudoTerminal)
	}{
		"without a terminal": {
			func(_ *pseudoTerminal, cmd *exec.Cmd) { daemon(cmd) },
			func(s *refreshFixture, _ *pseudoTerminal) { s.signal(syscall.SIGHUP) },
		},
		"on an open terminal": {
			(*pseudoTerminal).run,
			func(s *refreshFixture, _ *pseudoTerminal) { s.signal(syscall.SIGHUP) },
		},
		"nohup on a closed terminal": {
			func(s *pseudoTerminal, cmd *exec.Cmd) {
				s.run(cmd)
				script(`trap "" HUP; exec "$0" serve`)(cmd)
			},
			func(s *refreshFixture, pty *pseudoTerminal) {
				pty.close()
				s.signal(syscall.SIGHUP)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pty := newPseudoTerminal(t)
			s := newRefreshFixture(t, func(cmd *exec.Cmd) { scenario.configure(pty, cmd) })
			s.startRefresh()
			scenario.hangUp(s, pty)
			s.mustAnswer()
			time.Sleep(2 * time.Second) // longer than a terminal takes to close
			s.mustServe(s.account)
			if code := s.terminate(30 * time.Second); code != 0 {
				t.Errorf("exit code %d after SIGTERM, want 0", code)
			}
			s.mustHaveStored()
		})
	}
}

// TestBackgroundJobThatLogs runs the program as a background job on a terminal that
// stops background jobs when they write (stty tostop).
func TestBackgroundJobThatLogs(t *testing.T) {
	t.Parallel()
	pty := newPseudoTerminal(t)
	s := newRefreshFixture(t, func(cmd *exec.Cmd) {
		pty.run(cmd)
		script(`stty tostop; set -m; "$0" serve & wait`)(cmd)
	}, "TICKETPROXY_ADMIN_QUIT=true")
	s.startRefresh()
	s.mustAnswer()
	s.mustServe(s.account)
	quit := exec.Command(binary, "shutdown") // the job would survive the end of the shell
	quit.Env = []string{"TICKETPROXY_ADMIN_LISTEN=" + s.admin}
	if out, err := quit.CombinedOutput(); err != nil {
		t.Errorf("ticketproxy shutdown: %v\n%s", err, out)
	}
	s.mustEnd(0)
	s.mustHaveStored()
}
