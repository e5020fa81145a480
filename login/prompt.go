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

// maxLine bounds an answer. A terminal's line editing would cut it at 4095 bytes on Linux
// and at 1023 on macOS.
const maxLine = 32 << 10

var errLongLine = errors.New("the line is too long")

// A prompt asks a person at a terminal, or reads a pipe with one answer on each line. It
// is for one goroutine, and must not be used after an error.
type prompt struct {
	in       *bufio.Reader
	terminal *os.File // the file behind in if it is a terminal, otherwise nil
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

// ask returns the answer to a question. The terminal does not show a hidden answer. A
// pipe does not get the question. When ctx is done or the person interrupts, ask restores
// the terminal and returns ctx's cause or errInterrupted. At the end of input it returns
// io.EOF.
func (p *prompt) ask(ctx context.Context, question string, hidden bool) (string, error) {
	hidden = hidden && p.terminal != nil
	ended := ctx
	if hidden {
		restore, err := hideInput(p.terminal)
		if err != nil {
			return "", fmt.Errorf("hiding what is typed: %w", err)
		}
		defer fmt.Fprintln(p.out) // the line break that the person types is not shown, either
		defer restore()
		// These signals would otherwise end or stop the process while input is hidden.
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

// line reads a line. A hidden line comes without the terminal's line editing, so line
// applies the corrections in it.
func (p *prompt) line(hidden bool) (string, error) {
	const deleted, endOfFile, killed = 0x7f, 0x04, 0x15 // Backspace, Ctrl-D, Ctrl-U
	var line []byte
	for {
		b, err := p.in.ReadByte()
		switch {
		case errors.Is(err, io.EOF) && len(line) > 0, err == nil && b == '\n':
			return strings.TrimSuffix(string(line), "\r"), nil
		case err != nil:
			return "", err
		case hidden && (b == deleted || b == '\b'):
			_, size := utf8.DecodeLastRune(line)
			line = line[:len(line)-size]
		case hidden && b == killed:
			line = line[:0]
		case hidden && b == endOfFile && len(line) == 0:
			return "", io.EOF
		case len(line) == maxLine:
			return "", errLongLine
		default:
			line = append(line, b)
		}
	}
}

// hideInput stops a terminal from showing what is typed, and from line editing, which
// would cut off long lines. Ctrl-C still works.
func hideInput(f *os.File) (restore func(), _ error) {
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
