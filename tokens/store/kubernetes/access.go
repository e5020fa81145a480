package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"ticketproxy/hint"
	"ticketproxy/tokens"
)

// accessSuffix ends the name of the Secret with the access tokens, beside the state's.
const accessSuffix = "-access"

// flagOf returns the name of the annotation that is a reader's flag for an account. Its value
// is the generation whose access token the API has refused. It ends in a letter, as the name
// of an annotation must, whatever the account's name ends in.
func flagOf(account string) string { return annotationPrefix + "refused-" + account + ".generation" }

// Access returns what a reader may use of an account. It reads and watches the Secret with
// the access tokens alone, and never the state.
func (s *Secret) Access(name string) *Access { return &Access{s.access, name} }

// An Access is a tokens.AccessStore in a key of the Secret with the access tokens. Safe for
// concurrent use.
type Access struct {
	secret *Secret
	name   string
}

var (
	_ tokens.AccessStore = (*Access)(nil)
	_ tokens.Notifier    = (*Access)(nil)
)

func (a *Access) key() string { return a.name + keySuffix }

// Notify implements tokens.Notifier. The first account's call begins the watch of the
// Secret.
func (a *Access) Notify(changed func()) {
	a.secret.watch.subscribe(a.key(), dataOf(a.key()), func(object) { changed() })
}

// LoadAccess implements tokens.AccessStore. It reads from the API server.
func (a *Access) LoadAccess(ctx context.Context) (tokens.Record, error) {
	o, err := a.secret.get(ctx)
	if isStatus(err, http.StatusForbidden) {
		err = hint.With(err, a.secret.readerAdvice(userOf(err)))
	}
	if err != nil {
		return tokens.Record{}, fmt.Errorf("reading access tokens: %w", err)
	}
	a.secret.watch.seen(a.key(), dataOf(a.key())(o))
	data, ok := o.Data[a.key()]
	if !ok {
		return tokens.Record{}, tokens.ErrNone
	}
	record, err := tokens.Decode(data)
	if err != nil {
		err = fmt.Errorf("reading access tokens: %s of %v: %w", a.key(), a.secret, err)
		if !errors.Is(err, tokens.ErrDamaged) {
			return tokens.Record{}, hint.With(err, newerAdvice)
		}
		return tokens.Record{}, hint.With(err, "see that a refresher runs: it writes that key again")
	}
	return record, nil
}

// Refuse implements tokens.AccessStore. It patches an annotation, and nothing else.
func (a *Access) Refuse(ctx context.Context, generation uint64) error {
	text, flag := strconv.FormatUint(generation, 10), flagOf(a.name)
	if a.secret.known().Metadata.Annotations[flag] == text {
		return nil // another reader has raised it
	}
	patch := map[string]any{"metadata": map[string]any{"annotations": map[string]string{flag: text}}}
	note := a.secret.asking()
	var stored object
	err := a.secret.client.do(ctx, http.MethodPatch, a.secret.path(), "application/merge-patch+json", patch, &stored)
	err = a.secret.advise(err, "patch")
	if isStatus(err, http.StatusForbidden) {
		err = hint.With(err, a.secret.flagAdvice(userOf(err)))
	}
	if err != nil {
		return fmt.Errorf("flagging the refused access token: %w", err)
	}
	note(stored)
	return nil
}

// NotifyRefused implements tokens.RefusalNotifier. The first account's call begins the watch
// of the Secret with the access tokens.
func (a *Account) NotifyRefused(refused func(generation uint64)) {
	access, flag := a.secret.access, flagOf(a.name)
	a.secret.copier.keep(a.name)
	access.watch.subscribe(a.key(), dataOf(a.key()), func(object) { a.secret.copier.look(a.name) })
	access.watch.subscribe(
		flag,
		func(o object) tokens.Version { return tokens.Version(o.Metadata.Annotations[flag]) },
		func(o object) {
			if generation, err := strconv.ParseUint(o.Metadata.Annotations[flag], 10, 64); err == nil {
				refused(generation)
			}
		},
	)
}
