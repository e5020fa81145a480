package login

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// maxLine bounds an answer. It is more than a terminal's own line editing
// would take, which cuts off at 4095 bytes on Linux and at 1023 on macOS.
const maxLine = 32 << 10

var errLongLine = errors.New("the line is too long")

// A prompt asks a person at a terminal, or reads a pipe that has the answers,
// one on each line. It is for one goroutine, and of no use after an error.
type prompt struct {
	in       *bufio.Reader
	terminal *os.File // what in reads, when that is a terminal
	out      io.Writer
}

func newPrompt(in io.Reader, out io.Writer) *prompt {
	p := &prompt{in: bufio.NewReader(in), out: out}
	if f, ok := in.(*os.File); ok {
		if _, err := unix.IoctlGetTermios(int(f.Fd()), getTermios); err == nil {
			p.terminal = f
		}
	}
	return p
}

// ask returns the answer to a question; a hidden one is not shown while it is
// typed. The question is not put to a pipe. Once ctx is done, or the person
// interrupts, the terminal is as it was before and the error is ctx's cause or
// errInterrupted; it is io.EOF when no answer is left.
func (p *prompt) ask(ctx context.Context, question string, hidden bool) (string, error) {
	hidden = hidden && p.terminal != nil
	ended := ctx
	if hidden {
		restore, err := mute(p.terminal)
		if err != nil {
			return "", fmt.Errorf("hiding what is typed: %w", err)
		}
		defer fmt.Fprintln(p.out) // the person's own line break is not shown either
		defer restore()
		// These would otherwise end or stop the process, and leave the terminal mute.
		var stop context.CancelFunc
		ended, stop = signal.NotifyContext(ctx, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTSTP)
		defer stop()
	}
	if p.terminal != nil {
		fmt.Fprint(p.out, question)
	}
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() {
		line, err := p.line(hidden)
		read <- result{line, err}
	}()
	select {
	case r := <-read:
		return r.line, r.err
	case <-ended.Done():
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", errInterrupted
	}
}

// line reads a line. One that a mute terminal sends has its corrections in it.
func (p *prompt) line(mute bool) (string, error) {
	const deleted, endOfFile, killed = 0x7f, 0x04, 0x15 // Backspace, Ctrl-D, Ctrl-U
	var line []byte
	for {
		b, err := p.in.ReadByte()
		switch {
		case errors.Is(err, io.EOF) && len(line) > 0, err == nil && b == '\n':
			return strings.TrimSuffix(string(line), "\r"), nil
		case err != nil:
			return "", err
		case mute && (b == deleted || b == '\b'):
			_, size := utf8.DecodeLastRune(line)
			line = line[:len(line)-size]
		case mute && b == killed:
			line = line[:0]
		case mute && b == endOfFile && len(line) == 0:
			return "", io.EOF
		case len(line) == maxLine:
			return "", errLongLine
		default:
			line = append(line, b)
		}
	}
}

// mute stops a terminal from showing what is typed, and from gathering it into
// lines, which would cut off long ones. Ctrl-C goes on working.
func mute(f *os.File) (restore func(), _ error) {
	fd := int(f.Fd())
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, err
	}
	muted := *before
	muted.Lflag &^= unix.ECHO | unix.ICANON
	muted.Lflag |= unix.ISIG
	muted.Iflag |= unix.ICRNL
	muted.Cc[unix.VMIN], muted.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, setTermios, &muted); err != nil {
		return nil, err
	}
	return func() { unix.IoctlSetTermios(fd, setTermios, before) }, nil
}
