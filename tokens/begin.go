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
// processes adopt it when they next look. The seed is the operator's of now,
// which may be empty: it is noted so that it does not count as newer than the
// grant.
func Begin(ctx context.Context, s Store, grant Grant, seed secret.String) (generation uint64, _ error) {
	for range maxRounds {
		old, version, err := s.Load(ctx)
		if err != nil && !errors.Is(err, ErrNone) {
			return 0, fmt.Errorf("loading record: %w", err)
		}
		next := Record{Generation: old.Generation + 1, Grant: grant, Seed: old.Seed, Spent: old.Spent}
		if hash := seed.Hash(); hash != "" && hash != old.Seed {
			next.Seed = hash
			if old.Seed != "" {
				next.Spent = append(slices.Clone(old.Spent), old.Seed)
			}
		}
		_, err = s.Swap(ctx, version, next)
		if errors.Is(err, ErrUnknown) {
			if stored, _, loading := s.Load(ctx); loading == nil && stored.Grant.Same(grant) {
				err = nil
			}
		}
		if err == nil {
			return next.Generation, nil
		}
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrUnknown) {
			return 0, fmt.Errorf("storing grant: %w", err)
		}
	}
	return 0, fmt.Errorf("storing grant: %w", errUnsettled)
}
