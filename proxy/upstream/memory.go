package upstream

import (
	"context"
	"time"

	"golang.org/x/sync/semaphore"
)

// What an answer's header takes of memory, in bytes, its interim answers included. Each line is
// kept in three maps: that of the answer, that of the answer to the app, and the server's copy
// of it.
const (
	answerByteTakes = 2
	answerLineTakes = 300
	answerFree      = 16 << 10 // of each, which is counted with its connection
	answerMost      = 1 << 20  // of one
)

// answerWait is how long a long header waits for memory that others have.
const answerWait = 5 * time.Second

// An AnswerError says why an answer's header is not read to its end. Its text quotes nothing of
// the answer.
type AnswerError string

func (e AnswerError) Error() string { return string(e) }

const (
	errAnswerLong = AnswerError("the upstream's answer is broken: its header is too long, or has too many lines")
	errAnswers    = AnswerError("the upstream's answer has a long header, and so have too many other answers")
)

// An AnswerMemory bounds what the long headers of all answers take of memory at a
// time. Safe for concurrent use.
type AnswerMemory struct {
	size int64
	free *semaphore.Weighted
}

// NewAnswerMemory returns a bound of that many bytes.
func NewAnswerMemory(bytes int64) *AnswerMemory {
	return &AnswerMemory{bytes, semaphore.NewWeighted(bytes)}
}

// A reservation bounds what the header of one answer takes. While a long one is read, the most
// that it may take is reserved in one step: if each reserved as much as it has read, many could
// wait for one another. Its zero value bounds one answer alone. Only one goroutine uses it.
type reservation struct {
	all      *AnswerMemory
	takes    int64
	reserved int64
}

// add counts bytes and lines of the header. It waits for memory until the context is done. It
// returns an AnswerError when the header cannot be kept.
func (r *reservation) add(ctx context.Context, size, lines int) error {
	r.takes += int64(answerByteTakes*size + answerLineTakes*lines)
	switch {
	case r.takes > answerMost:
		return errAnswerLong
	case r.takes <= answerFree || r.reserved > 0 || r.all == nil:
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	most := min(answerMost, r.all.size)
	if r.all.free.Acquire(waiting, most) != nil {
		return errAnswers
	}
	r.reserved = most
	return nil
}

// settle is called when the header was read: what it does not take is given back.
func (r *reservation) settle() { r.shrink(min(r.reserved, max(r.takes-answerFree, 0))) }

// release is called when the answer was read to its end, or given up.
func (r *reservation) release() { r.shrink(0) }

func (r *reservation) shrink(keep int64) {
	if r.reserved > keep {
		r.all.free.Release(r.reserved - keep)
		r.reserved = keep
	}
}
