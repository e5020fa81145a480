package login

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal opens a pseudoterminal (pty(7)): keyboard is the person's side of it.
func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("this machine has no pseudo terminals: ", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("this machine has no pseudo terminals: ", err)
	}
	t.Cleanup(func() { terminal.Close() })
	return keyboard, terminal
}

func modes(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(int(f.Fd()), getTermios)
	if err != nil {
		t.Fatal(err)
	}
	return *m
}

// types types the next line at each question. When the terminal is closed, it sends what
// the terminal has shown.
func types(keyboard *os.File, lines ...string) (shown <-chan string) {
	all := make(chan string, 1)
	go func() {
		var seen strings.Builder
		defer func() { all <- seen.String() }()
		buffer := make([]byte, 4096)
		for {
			n, err := keyboard.Read(buffer)
			if err != nil {
				return
			}
			seen.Write(buffer[:n])
			if strings.HasSuffix(seen.String(), "? ") && len(lines) > 0 {
				io.WriteString(keyboard, lines[0])
				lines = lines[1:]
			}
		}
	}()
	return all
}

func TestLoginSecretIsNotShownOnATerminal(t *testing.T) {
	keyboard, terminal := openTerminal(t)
	before := modes(t, terminal)
	long := strings.Repeat("x", 9000) // longer than a terminal's line editing allows
	shown := types(keyboard, "me\n", "wrong\x15pas\x7fssword\n", long+"\n", "\x04")
	p := newPrompt(terminal, terminal)
	if p.terminal == nil {
		t.Fatal("the terminal was not recognized")
	}
	for _, x := range []struct {
		question, want string
		hidden         bool
		err            error
	}{{"Name? ", "me", false, nil}, {"Password? ", "password", true, nil}, {"Token? ", long, true, nil}, {"More? ", "", true, io.EOF}} {
		if got, err := p.ask(t.Context(), x.question, x.hidden); got != x.want || err != x.err {
			t.Errorf("%s%q, %v", x.question, got, err)
		}
		if modes(t, terminal) != before {
			t.Errorf("%sthe terminal was not restored", x.question)
		}
	}
	terminal.Close()
	if got := <-shown; got != "Name? me\r\nPassword? \r\nToken? \r\nMore? \r\n" {
		t.Errorf("shown: %q", got)
	}
}

func TestLoginInterruptedLeavesTheTerminalAsItWas(t *testing.T) {
	keyboard, terminal := openTerminal(t)
	before := modes(t, terminal)
	ctx, interrupt := context.WithCancel(t.Context())
	p := newPrompt(terminal, terminal)
	asked := make(chan error)
	go func() {
		_, err := p.ask(ctx, "Password? ", true)
		asked <- err
	}()
	question := make([]byte, len("Password? "))
	if _, err := io.ReadFull(keyboard, question); err != nil {
		t.Fatal(err)
	}
	if m := modes(t, terminal); m.Lflag&unix.ECHO != 0 {
		t.Error("the terminal would show the input")
	}
	interrupt()
	if err := <-asked; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if modes(t, terminal) != before {
		t.Error("the terminal was not restored")
	}
	io.WriteString(keyboard, "\n") // lets the abandoned reader end
}
