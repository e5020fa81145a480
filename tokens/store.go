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
	ErrConflict = errors.New("record was changed by another process")
	ErrUnknown  = errors.New("outcome of the write is not known")
)

// CheckRecord returns an error when the store has a record of the account that cannot
// be used, or cannot be read within 10 s. It is no error to have no record.
func CheckRecord(ctx context.Context, s Store, account string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, _, err := s.Load(ctx); err != nil && !errors.Is(err, ErrNone) {
		return fmt.Errorf("opening account %s: %w", account, err)
	}
	return nil
}

// A Presence is a Store that can tell that the process which holds an intent
// has ended, so that its intent need not be waited for.
type Presence interface {
	// Gone reports whether the process that called itself holder is known to
	// have ended. It is false when that cannot be told.
	Gone(holder string) bool
}
