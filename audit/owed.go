package audit

import (
	"bytes"
	"fmt"
)

// keep keeps what is not written of a line, if each must be recorded. Otherwise it is lost.
func (l *Log) keep(next *line) {
	if !l.required {
		l.lost.Add(1)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owed = append(l.owed, &line{bytes.Clone(next.text), next.done, next.file})
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
		if err := l.sink.write(next); err != nil {
			return fmt.Errorf("%w: %w", errOwed, err)
		}
		l.mu.Lock()
		l.owed = l.owed[1:]
		l.mu.Unlock()
		l.wrote()
	}
}
