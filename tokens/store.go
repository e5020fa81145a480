package tokens

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Version names one state of a stored record. It is opaque, and empty when
// there is no record yet. Equal versions mean equal records.
type Version string

// A Store keeps one account's Record for every process that shares it. Both
// methods are linearizable, safe for concurrent use, and return soon after ctx
// is done.
type Store interface {
	// Load returns the record and its version. The error is ErrNone, with the
	// empty version, when there is no record yet; ErrDamaged, with a version
	// that Swap takes, when what is there is of no use to any process, so that
	// one which holds the record may put it back.
	Load(ctx context.Context) (Record, Version, error)
	// Swap replaces the record of version old by next. On a nil error, next is
	// durable: it survives the crash of this process and of its machine. With
	// ErrConflict the stored version is not old, and nothing was written; with
	// ErrUnknown next may or may not have been written; with any other error
	// nothing was written. ErrDamaged means that the stored record is damaged, and
	// old is not the version that Load returned for it.
	Swap(ctx context.Context, old Version, next Record) (Version, error)
}

// What a Store says, found with errors.Is.
var (
	ErrNone     = errors.New("no record yet")
	ErrDamaged  = errors.New("record cannot be used")
	ErrNotOurs  = errors.New("not a record of ticketproxy") // is ErrDamaged, too
	ErrConflict = errors.New("record was changed by another process")
	ErrUnknown  = errors.New("outcome of the write is not known")
	// ErrUnavailable says that the store cannot be asked now, and may be later.
	ErrUnavailable = errors.New("store cannot be reached")
	// ErrSealed says that no key of this process opens the record's tokens. Nothing may be
	// put in the record's place: with the right key it is as good as ever.
	ErrSealed = errors.New("record cannot be opened")
)

// CheckRecord returns the store's record of the account; an empty one where the store has
// none, or is unavailable, which may pass. The error says that the record cannot be used, or
// cannot be read within 10 s.
func CheckRecord(ctx context.Context, s Store, account string) (Record, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	record, _, err := s.Load(ctx)
	if err != nil && !errors.Is(err, ErrNone) && !errors.Is(err, ErrUnavailable) {
		return Record{}, fmt.Errorf("opening account %s: %w", account, err)
	}
	return record, nil
}

// A Presence is a Store that can tell that the process which holds an intent
// has ended, so that its intent need not be waited for. Only a fact counts. A time that
// has passed is none: a process may be paused for longer during its token request.
type Presence interface {
	// Gone reports whether the process that called itself holder is known to
	// have ended, and what it had sent to the store has arrived. It is false when that
	// cannot be told. It returns soon, and is called several times a second.
	Gone(holder string) bool
}

// A Witness is a Store that sees every change of the record, so that it can tell that a lost
// record was the last one.
type Witness interface {
	// Restored reports whether next is the first version after a loss of the record, and lost
	// the last version before it. This process has just stored or loaded next. Restored
	// waits until the store has seen it, and is false when ctx is done before that, or when
	// it is not certain that no version was missed.
	Restored(ctx context.Context, lost, next Version) bool
}

// A Notifier is a Store that tells of changes, so that it need not be polled.
type Notifier interface {
	// Notify has changed called after each time when the record may have changed, as long
	// as the store is open. No call may come where the store is not allowed to watch.
	// changed returns at once. Notify is called once.
	Notify(changed func())
}
