package tokens

import (
	"context"
	"errors"
)

// maxRounds bounds how often one commit answers a store's conflict or unknown
// outcome at once. After that, the caller's backoff decides.
const maxRounds = 8

// stored is what a store has, and how it is known.
type stored struct {
	Record
	version Version
	err     error // why there is no Record: ErrNone, ErrDamaged, or what the store says
	cause   error // why it was loaded again: what Swap returned; nil at first
}

// errKeep is returned by a commit's next to leave the stored record as it is.
var errKeep = errors.New("the stored record stays")

// commit stores the record that next makes of the stored one, and returns what is
// stored then. When another process was faster, and when the store cannot say
// whether it wrote, commit loads the record and asks next again. next returns
// errKeep to write nothing, and any other error to end the commit.
//
// from is what next gets first; nil loads it. The error is next's, or what the
// store said of the write.
func commit(ctx context.Context, s Store, from *stored, next func(stored) (Record, error)) (stored, error) {
	var cause error
	for range maxRounds {
		if from == nil {
			from = &stored{cause: cause}
			from.Record, from.version, from.err = s.Load(ctx)
		}
		rec, err := next(*from)
		if errors.Is(err, errKeep) {
			return *from, nil
		}
		if err != nil {
			return *from, err
		}
		version, err := s.Swap(ctx, from.version, rec)
		if err == nil {
			return stored{Record: rec, version: version}, nil
		}
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrDamaged) {
			return *from, err
		}
		from, cause = nil, err
	}
	return stored{}, errUnsettled
}
