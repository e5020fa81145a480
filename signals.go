package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Signals are what the operating system and a person ask of the process. They
// begin the drain, hurry it, or have files read again. None ends the process
// without a drain, but for the third request to stop and those that cannot be
// caught.
type signals struct {
	stop   context.Context // done once the process should drain
	hurry  context.Context // done once requests in flight should be cut off, too
	reload chan struct{}   // receives when files should be read again
}

// watchSignals begins to watch. With reloads, SIGHUP has files read again, unless
// the terminal on which the program runs went away; without, it begins the drain
// like SIGTERM. A SIGHUP that was ignored at the start stays so, as nohup wants.
//
// SIGPIPE is taken so that a write to a closed stdout or stderr fails, in place
// of ending the process (os/signal, "SIGPIPE"). Programs that it starts do not
// inherit that.
func watchSignals(t *terminal, reloads bool) *signals {
	stop, stopNow := context.WithCancel(context.Background())
	hurry, hurryNow := context.WithCancel(context.Background())
	s := &signals{stop: stop, hurry: hurry, reload: make(chan struct{}, 1)}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	asked := make(chan os.Signal, 8)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(asked, syscall.SIGHUP)
	}
	go func() {
		for got := range asked {
			switch {
			case got == syscall.SIGHUP && reloads && !t.gone():
				select {
				case s.reload <- struct{}{}:
				default: // one is due already
				}
			case stop.Err() == nil:
				stopNow()
			case got != syscall.SIGHUP: // of which a closed terminal causes several
				hurryNow()
				signal.Reset(syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
			}
		}
	}()
	return s
}

// A terminal is the one on which the program was started, if there is one.
type terminal struct {
	controlling bool       // the process has a controlling terminal
	files       []*os.File // of stdin, stdout and stderr, those that are terminals
}

// startTerminal looks at what the process was started with.
func startTerminal() *terminal {
	t := &terminal{controlling: hasControllingTerminal()}
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if answersAsTerminal(f) {
			t.files = append(t.files, f)
		}
	}
	return t
}

// gone reports whether the terminal was closed. The kernel takes a closed
// terminal from all processes that it controlled, and answers EIO for it.
func (t *terminal) gone() bool {
	if t.controlling && !hasControllingTerminal() {
		return true
	}
	for _, f := range t.files {
		if !answersAsTerminal(f) {
			return true
		}
	}
	return false
}

func hasControllingTerminal() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

func answersAsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), getTermios)
	return err == nil
}
