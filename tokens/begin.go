package tokens

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ticketproxy/secret"
)

// Begin stores a grant that a person has obtained as the beginning of a new
// line, whatever the store holds, and returns its generation. Running
// processes adopt it when they next look. The seed is the operator's present
// one, which may be empty: it is noted so that it does not count as newer than the
// grant.
func Begin(ctx context.Context, s Store, grant Grant, seed secret.String) (generation uint64, _ error) {
	loading := false
	now, err := commit(ctx, s, nil, func(old stored) (Record, error) {
		loading = old.err != nil && !errors.Is(old.err, ErrNone)
		switch {
		case loading:
			return Record{}, old.err
		case old.cause != nil && old.err == nil && old.Grant.Same(grant): // the store did write it
			return Record{}, errKeep
		}
		next := Record{Generation: old.Generation + 1, Grant: grant, Seed: old.Seed, Spent: old.Spent}
		if hash := seed.Hash(); hash != "" && hash != old.Seed {
			next.Seed = hash
			if old.Seed != "" {
				next.Spent = append(slices.Clone(old.Spent), old.Seed)
			}
		}
		return next, nil
	})
	switch {
	case loading:
		return 0, fmt.Errorf("loading record: %w", err)
	case err != nil:
		return 0, fmt.Errorf("storing grant: %w", err)
	}
	return now.Generation, nil
}
