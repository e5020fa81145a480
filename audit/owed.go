package audit

import "fmt"

// owed is a line that could not be written yet.
type owed struct {
	line []byte
	done int // bytes that were written
	file int // to which of the sink's files
}

// keep keeps a line of which n bytes are written, if each must be recorded. Otherwise it is
// lost.
func (l *Log) keep(line []byte, n, file int) {
	if !l.required {
		l.lost.Add(1)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owed = append(l.owed, owed{append([]byte(nil), line...), n, file})
}

// payOwed writes the lines that are kept. Others may be added meanwhile.
func (l *Log) payOwed() error {
	for {
		l.mu.Lock()
		if len(l.owed) == 0 {
			l.owed = nil
			l.mu.Unlock()
			return nil
		}
		next := l.owed[0] // which nobody else takes or changes
		l.mu.Unlock()
		if next.file != l.sink.opened() {
			next.done = 0
		}
		n, err := l.sink.write(next.line[next.done:])
		if err != nil {
			l.mu.Lock()
			l.owed[0].done, l.owed[0].file = next.done+n, l.sink.opened()
			l.mu.Unlock()
			return fmt.Errorf("%w: %w", errOwed, err)
		}
		l.mu.Lock()
		l.owed = l.owed[1:]
		l.mu.Unlock()
		l.wrote()
	}
}
