package proxy

import (
	"errors"
	"strings"
	"testing"
)

// line returns a header line of so many bytes, its end included.
func line(size int) []byte { return []byte(strings.Repeat("x", size-2) + "\r\n") }

// TestAnswerMeterBounds checks what an answer's header may take, to the byte.
func TestAnswerMeterBounds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		size     int // of one line
		err      error
		reserved int64
		settled  int64 // what remains reserved
	}{
		"not long":      {(answerFree - answerLineTakes) / answerByteTakes, nil, 0, 0},
		"just long":     {(answerFree-answerLineTakes)/answerByteTakes + 1, nil, answerMost, answerByteTakes},
		"longest":       {(answerMost - answerLineTakes) / answerByteTakes, nil, answerMost, answerMost - answerFree},
		"just too long": {(answerMost-answerLineTakes)/answerByteTakes + 1, errAnswerLong, 0, 0},
	} {
		m := &answerMeter{all: NewAnswerMemory(2 * answerMost)}
		if err := m.add(t.Context(), line(test.size)); !errors.Is(err, test.err) {
			t.Errorf("%s: got %v, want %v", name, err, test.err)
		}
		if m.reserved != test.reserved {
			t.Errorf("%s: %d bytes are reserved, want %d", name, m.reserved, test.reserved)
		}
		if err := m.settle(); !errors.Is(err, test.err) || m.reserved != test.settled {
			t.Errorf("%s: %d bytes remain reserved, want %d; error %v", name, m.reserved, test.settled, err)
		}
		m.close()
		if !m.all.free.TryAcquire(m.all.size) {
			t.Errorf("%s: not all memory is given back", name)
		}
	}
}

// TestHeaderScan checks where a header ends, however it is cut into reads.
func TestHeaderScan(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		header string
		lines  int
	}{
		{"HTTP/1.1 200 OK\r\nA: 1\r\n\r\n", 3},
		{"HTTP/1.1 200 OK\nA: 1\n\n", 3},
		{"HTTP/1.1 200\n\n", 2},
		{"HTTP/1.1  200\r\n\r\n", 2},
		{"HTTP/1.1 200 OK\r\nx\r\n\r\n", 3},
		{"HTTP/1.1 200 OK\r\n\rx\r\n\r\n", 3},
		{"HTTP/1.1 101 Switching Protocols\r\n\r\n", 2},
		{"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 5},
		{"HTTP/1.1 103\n\nHTTP/1.1 200\n\n", 4},
		{"\r\nHTTP/1.1 200 OK\r\n\r\n", 3},
		{"HTTP/1.1 2\r\n\r\nHTTP/1.1 200\r\n\r\n", 4},
		{"HTTP/1.1 200 " + strings.Repeat("x", 100) + "\r\n\r\n", 2},
	} {
		answer := test.header + "\r\nbody\r\n\r\n"
		for cut := 1; cut <= len(answer); cut++ {
			var s headerScan
			size, lines := 0, 0
			for rest := []byte(answer); len(rest) > 0; {
				part := rest[:min(cut, len(rest))]
				rest = rest[len(part):]
				n, ends := s.header(part)
				size, lines = size+n, lines+ends
			}
			if size != len(test.header) || lines != test.lines {
				t.Errorf("%q in parts of %d: %d bytes and %d lines, want %d and %d",
					test.header, cut, size, lines, len(test.header), test.lines)
				break
			}
		}
	}
}
