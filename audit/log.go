package audit

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// A Config says where lines go. It has a Path or an Output.
type Config struct {
	// Path is of a file, which is made with mode 0600. It is opened again when another file, or
	// none, is at the path: so it may be renamed while it is written.
	Path string
	// Output gets one Write for each line.
	Output io.Writer
	// Required says that Begin fails when the line cannot be recorded.
	Required bool
	Log      *zap.Logger // is told when lines cannot be written; may be nil
}

// A Log writes lines. A nil Log is off. Its methods are safe for concurrent use.
//
// A line is written by the goroutine of its request, in one write.
//
// Without Config.Required a line that cannot be written is lost and counted.
//
// With Config.Required each request that Begin lets pass has its line. In a file Begin
// reserves the space of it, where the file system can do that (see reserve): then a full disk
// refuses new requests, and the lines of those under way are written. Elsewhere a line that
// cannot be written is kept in memory, and Begin fails until it is written; only lines that
// are kept when the process ends are lost.
type Log struct {
	required bool
	sink     sink
	file     *logFile // the sink where it is a file; else nil
	log      *zap.Logger

	writing chan struct{} // has a value while a goroutine uses the sink
	since   atomic.Int64  // when that began, in Unix nanoseconds; 0 when it has just begun
	open    int           // lines that Begin has promised and End has not written; guarded by writing
	torn    bool          // the last line was written in part, and the rest is lost; guarded by writing

	mu   sync.Mutex // guards owed
	owed []*line    // that could not be written yet

	failure atomic.Pointer[error] // see Failure; nil is none
	lost    atomic.Uint64
	buffers sync.Pool // of *buffer
}

// Errors of Begin, besides those of the operating system.
var (
	errStuck = errors.New("the writing of another line takes long")
	errOwed  = errors.New("earlier lines could not be written")
)

// Open returns the Log that c describes. Close it.
func Open(c Config) (*Log, error) {
	l := &Log{required: c.Required, log: c.Log, writing: make(chan struct{}, 1)}
	if l.log == nil {
		l.log = zap.NewNop()
	}
	if c.Path == "" {
		l.sink = stream{c.Output}
		return l, nil
	}
	f, err := openFile(c.Path, c.Required, l.log)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	l.sink, l.file = f, f
	return l, nil
}

// An Entry is a line that is to be written. Its End is called once.
type Entry struct {
	log   *Log
	start time.Time
}

// Begin is called before a request is served. With Config.Required it fails when the line
// cannot be recorded: then the request must not be served, and End is not called.
func (l *Log) Begin() (Entry, error) {
	if l == nil {
		return Entry{}, nil
	}
	now := time.Now()
	if !l.required {
		return Entry{l, now}, nil
	}
	if !l.lock() {
		return Entry{}, l.failed(errStuck)
	}
	defer l.unlock()
	if err := l.prepare(); err != nil {
		return Entry{}, err
	}
	l.open++
	return Entry{l, now}, nil
}

// Refuses returns why Begin would fail now; nil when it would not.
func (l *Log) Refuses() error {
	if l == nil || !l.required {
		return nil
	}
	if !l.lock() {
		return l.failed(errStuck)
	}
	defer l.unlock()
	return l.prepare()
}

// prepare makes sure that one line more can be written. The caller has the lock.
func (l *Log) prepare() error {
	if err := l.payOwed(); err != nil {
		return l.failed(err)
	}
	if err := l.sink.reserve(l.open + 1); err != nil {
		return l.failed(err)
	}
	l.recovered()
	return nil
}

// A buffer is a line with space for its text.
type buffer struct {
	line
	space [MaxLine]byte
}

// End writes the line. Its time is that of Begin, and it tells how long it took since.
func (e Entry) End(event Event) {
	if e.log == nil {
		return
	}
	b, ok := e.log.buffers.Get().(*buffer)
	if !ok {
		b = new(buffer)
	}
	defer e.log.buffers.Put(b)
	b.line = line{text: appendLine(b.space[:0], &event, e.start, time.Since(e.start))}
	e.log.record(&b.line)
}

// record writes a line, or keeps it, or counts it as lost.
func (l *Log) record(next *line) {
	if !l.lock() {
		l.failed(errStuck)
		l.keep(next)
		return
	}
	defer l.unlock()
	if err := l.payOwed(); err != nil {
		l.failed(err)
		l.keep(next)
		return
	}
	if l.torn {
		if err := l.sink.write(&line{text: []byte("\n")}); err != nil {
			l.failed(err)
			l.lost.Add(1)
			return
		}
		l.torn = false
	}
	if err := l.sink.write(next); err != nil {
		l.failed(err)
		l.torn = next.done > 0 && !l.required
		l.keep(next)
		return
	}
	l.wrote()
}

// wrote notes that a line was written.
func (l *Log) wrote() {
	if l.required {
		l.open-- // on a full disk it had its space: whether there is more is not known
		return
	}
	l.recovered()
}

// recovered notes that lines can be written.
func (l *Log) recovered() {
	if l.failure.Load() != nil && l.failure.Swap(nil) != nil {
		l.log.Info("the audit log is written again", zap.Uint64("lost", l.lost.Load()))
	}
}

// failed notes why a line cannot be recorded, and returns it.
func (l *Log) failed(err error) error {
	if l.failure.Swap(&err) == nil {
		l.log.Error("the audit log cannot be written", zap.Error(err), zap.Bool("refusing", l.required))
	}
	return err
}

// Lost returns how many lines were lost.
func (l *Log) Lost() uint64 {
	if l == nil {
		return 0
	}
	return l.lost.Load()
}

// Failure returns why the last line was not recorded, or, with Config.Required, why the last
// request was refused; nil when it was not.
func (l *Log) Failure() error {
	if l == nil {
		return nil
	}
	if err := l.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Renamed returns why lines go on into a file that was renamed; nil when they do not. The path
// leads to no other file that can be written.
func (l *Log) Renamed() error {
	if l == nil || l.file == nil {
		return nil
	}
	if err := l.file.renamed.Load(); err != nil {
		return *err
	}
	return nil
}

// Reopen opens what is at the path now. While another line takes long, the next one does that.
func (l *Log) Reopen() {
	if l == nil || l.file == nil {
		return
	}
	l.file.reopen.Store(true)
	if !l.lock() {
		return
	}
	defer l.unlock()
	if err := l.file.look(); err != nil {
		l.failed(err)
	}
}

// Close writes what is kept, and closes the file. Its error says what is lost. It is called
// when all entries have ended.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	if !l.lock() {
		return fmt.Errorf("closing the audit log: %w", errStuck)
	}
	defer l.unlock()
	err := l.payOwed()
	l.lost.Add(uint64(len(l.owed)))
	if err = errors.Join(err, l.sink.close()); err != nil {
		return fmt.Errorf("closing the audit log: %w", err)
	}
	return nil
}
