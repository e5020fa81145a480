package audit

import "io"

// A sink is where lines go. It is used by one goroutine at a time.
type sink interface {
	// reserve makes sure that so many lines can be written.
	reserve(lines int) error
	// write writes a line, or the rest of it.
	write(*line) error
	close() error
}

// A line is what a sink writes.
type line struct {
	text []byte
	done int // bytes that were written
	file int // to which of the sink's files
}

// A stream is the sink of an io.Writer.
type stream struct{ io.Writer }

func (stream) reserve(int) error { return nil }

func (s stream) write(l *line) error {
	n, err := s.Writer.Write(l.text[l.done:])
	l.done += n
	return err
}

func (stream) close() error { return nil }
