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

// Signals delivers signals to a verb that drains. The zero value delivers none.
type Signals struct {
	// Hangup receives a value after a SIGHUP.
	Hangup <-chan struct{}
	// Second is closed at the second signal that ends the program.
	Second <-chan struct{}

	drains       func()
	terminalGone func() bool
}

// Drains declares that the verb drains. From then on, no signal ends the process without
// a drain.
func (s Signals) Drains() {
	if s.drains != nil {
		s.drains()
	}
}

// TerminalGone reports whether the terminal that started the program has been closed.
func (s Signals) TerminalGone() bool { return s.terminalGone != nil && s.terminalGone() }

// Watch returns a context that ends at the first SIGTERM, SIGINT or SIGQUIT, and, if the
// verb does not drain, SIGHUP. If the verb does not drain, the second of these signals
// ends the process at once.
//
// After Watch, a write to a closed pipe is an error and does not end the process.
func Watch() (context.Context, Signals) {
	ctx, end := context.WithCancel(context.Background())
	ignored := signal.Ignored(syscall.SIGHUP) // as by nohup(1)
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
			signal.Ignore(syscall.SIGTTOU) // would stop a background job that logs (stty tostop)
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
