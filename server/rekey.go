package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ticketproxy/config"
	"ticketproxy/hint"
	"ticketproxy/tokens"
	"ticketproxy/tokens/store"
)

// rekeyTimeout bounds the rewriting of one record. Most of it is to wait for a refresh.
const rekeyTimeout = time.Minute

// Rekey rewrites the records of all accounts, those that are configured and those that the
// state has besides, and reports a finding for each. So their tokens are encrypted to the
// first identity of STATE_KEY_FILE. What is in the state and is no record is left alone, with
// a note. The error says why no record could be rewritten.
func Rekey(ctx context.Context, c config.Config, report func(Finding)) error {
	if c.StateKeyFile == "" {
		return hint.Usage(errors.New("there is no key to encrypt with"),
			"set TICKETPROXY_STATE_KEY_FILE to an age identity file, as age-keygen writes it")
	}
	if c.State.Kind == "memory" {
		return hint.Usage(errors.New("the state is in memory, where no record is stored"),
			"set TICKETPROXY_STATE as the running instance has it")
	}
	state, err := openState(c, nil)
	if err != nil {
		return err
	}
	var configured []string
	for _, u := range c.Upstreams {
		if u.OwnsAccount() {
			configured = append(configured, u.Name)
		}
	}
	listed, err := recordNames(ctx, state.Backend)
	if err != nil {
		return errors.Join(err, state.Close())
	}
	k := &checklist{report: report}
	for _, name := range configured {
		k.rekey(ctx, state, name, true)
	}
	for _, name := range listed {
		if !slices.Contains(configured, name) {
			k.rekey(ctx, state, name, false)
		}
	}
	return state.Close()
}

// recordNames returns the names under which the state seems to have records.
func recordNames(ctx context.Context, backend store.Backend) ([]string, error) {
	lister, ok := backend.(store.Lister)
	if !ok {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	names, err := lister.Accounts(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for records: %w", err)
	}
	return names, nil
}

// rekey rewrites an account's record. Unless the account is configured, what the state has
// under its name may be somebody else's, and is then left alone: a Secret may have other keys.
func (k *checklist) rekey(ctx context.Context, state *sealedState, name string, configured bool) {
	ctx, cancel := context.WithTimeout(ctx, rekeyTimeout)
	defer cancel()
	if !configured && !config.IsAccountName(name) {
		k.report(Finding{Subject: "state", Note: fmt.Sprintf("%q is not the name of an account, and was left alone", name)})
		return
	}
	what := "account " + name
	record, err := tokens.Rewrite(ctx, state.Account(name))
	switch {
	case errors.Is(err, tokens.ErrNotOurs) && !configured:
		k.report(Finding{Subject: "state", Note: fmt.Sprintf("%q is not a record of ticketproxy, and was left alone", name)})
	case errors.Is(err, tokens.ErrNone):
		k.passed(what, "has no record yet")
	case err != nil:
		k.fails(what, err, "mend that, and run ticketproxy rekey again; ticketproxy check tells more")
	default:
		record.Recipient, _ = state.sealed(name).Recipient()
		k.passed(what, "generation %d, %s", record.Generation, sealing(record))
	}
}
