package process

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Signals are what the operating system asks of a verb that drains. The zero
// value never asks.
type Signals struct {
	// Hangup receives a value when SIGHUP came.
	Hangup <-chan struct{}
	// Second is closed when the second of the signals came that ask for an end.
	Second <-chan struct{}

	drains       func()
	terminalGone func() bool
}

// Drains tells that the verb drains: from now on, no signal ends the process
// without a drain.
func (s Signals) Drains() {
	if s.drains != nil {
		s.drains()
	}
}

// TerminalGone reports whether the terminal on which the program was started has
// been closed.
func (s Signals) TerminalGone() bool { return s.terminalGone != nil && s.terminalGone() }

// Watch returns a context that ends with the first signal to end: SIGTERM,
// SIGINT, SIGQUIT, and SIGHUP where the verb does not drain. The second one ends
// the process at once where the verb does not drain.
//
// From now on, a write to a closed pipe is an error, and does not end the
// process.
func Watch() (context.Context, Signals) {
	ctx, end := context.WithCancel(context.Background())
	ignored := signal.Ignored(syscall.SIGHUP) // by nohup(1)
	terminal := !ignored && hasTerminal() == nil
	hangup, second := make(chan struct{}, 1), make(chan struct{})
	var drains atomic.Bool

	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	incoming := make(chan os.Signal, 8)
	signal.Notify(incoming, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP)
	go func() {
		for ending := 0; ; {
			s := (<-incoming).(syscall.Signal)
			if s == syscall.SIGHUP && drains.Load() {
				select {
				case hangup <- struct{}{}:
				default: // one is waiting already
				}
				continue
			}
			if s == syscall.SIGHUP && ignored {
				continue
			}
			switch ending++; {
			case ending == 1:
				end()
			case !drains.Load():
				signal.Reset(s)
				syscall.Kill(os.Getpid(), s)
			case ending == 2:
				close(second)
			}
		}
	}()
	return ctx, Signals{
		Hangup: hangup,
		Second: second,
		drains: func() {
			drains.Store(true)
			signal.Ignore(syscall.SIGTTOU) // would stop a job in the background that logs (stty tostop)
		},
		terminalGone: func() bool {
			err := hasTerminal()
			return terminal && (errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EIO))
		},
	}
}

// hasTerminal returns nil when the process has a controlling terminal (tty(4)).
func hasTerminal() error {
	fd, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}
