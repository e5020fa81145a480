package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"ticketproxy/hint"
	"ticketproxy/tokens"
)

// newerAdvice helps against a record of a newer format.
const newerAdvice = "a newer version of ticketproxy wrote it: run that version here, and keep that key"

// An Account is a tokens.Store in a key of the Secret. Safe for concurrent use.
type Account struct {
	secret *Secret
	name   string
}

var (
	_ tokens.Store           = (*Account)(nil)
	_ tokens.Notifier        = (*Account)(nil)
	_ tokens.Presence        = (*Account)(nil)
	_ tokens.Witness         = (*Account)(nil)
	_ tokens.RefusalNotifier = (*Account)(nil)
)

func (a *Account) key() string { return a.name + keySuffix }

// Notify implements tokens.Notifier. The first account's call begins the watch of the
// Secret.
func (a *Account) Notify(changed func()) {
	a.secret.watch.subscribe(a.key(), dataOf(a.key()), func(object) { changed() })
}

// Gone implements tokens.Presence for processes that see the same /dev/shm: in the same pod,
// or on the same machine outside of pods. The API server is not asked for the holder's pod:
// a pod that was deleted by force may still run.
func (a *Account) Gone(holder string) bool {
	return a.secret.presence.Gone(holder[strings.LastIndexByte(holder, '/')+1:])
}

// Load implements tokens.Store. It reads from the API server, which answers no earlier
// state than that of the last write (a get without a resourceVersion).
func (a *Account) Load(ctx context.Context) (tokens.Record, tokens.Version, error) {
	o, err := a.secret.get(ctx)
	if err != nil {
		return tokens.Record{}, "", fmt.Errorf("reading state: %w", err)
	}
	data, ok := o.Data[a.key()]
	a.secret.watch.seen(a.key(), a.versionIn(o))
	a.secret.copier.look(a.name)
	if !ok {
		return tokens.Record{}, "", tokens.ErrNone
	}
	record, err := tokens.Decode(data)
	if err == nil {
		return record, versionOf(data), nil
	}
	err = fmt.Errorf("reading state: %s of %v: %w", a.key(), a.secret, err)
	if !errors.Is(err, tokens.ErrDamaged) { // its account lives
		return tokens.Record{}, "", hint.With(err, newerAdvice)
	}
	return tokens.Record{}, versionOf(data), hint.With(err, fmt.Sprintf(
		`remove that key: kubectl -n %s patch secret %s --type=json -p '[{"op":"remove","path":"/data/%s"}]'; `+
			"then run: ticketproxy login %s", a.secret.namespace, a.secret.name, a.key(), a.name))
}

// Swap implements tokens.Store. A foreign writer who has changed another part of the Secret
// is no conflict: the patch is made again for the Secret as it is now.
func (a *Account) Swap(ctx context.Context, old tokens.Version, next tokens.Record) (tokens.Version, error) {
	data, err := next.Encode()
	if err != nil {
		return "", fmt.Errorf("saving state: %w", err)
	}
	if next.Intent != nil {
		a.secret.presence.Announce()
	}
	version := versionOf(data)
	o := a.secret.known()
	for again := false; ; again = true {
		if again || a.versionIn(o) != old {
			if o, err = a.secret.get(ctx); err != nil {
				return "", fmt.Errorf("saving state: %w", err)
			}
		}
		if a.versionIn(o) != old {
			if _, err := tokens.Decode(o.Data[a.key()]); o.Data[a.key()] != nil && errors.Is(err, tokens.ErrDamaged) {
				return "", fmt.Errorf("saving state: %w", err)
			}
			return "", tokens.ErrConflict
		}
		err = a.secret.write(ctx, o, a.key(), data, annotations(o.Data, a.key(), data))
		if err == nil {
			a.secret.copier.stored(a.name)
			return version, nil
		}
		changed := isStatus(err, http.StatusNotFound) && o.Metadata.ResourceVersion != "" ||
			isStatus(err, http.StatusForbidden) && o.Metadata.ResourceVersion == "" && a.secret.exists(ctx)
		if !isStatus(err, http.StatusConflict) && !changed {
			return "", fmt.Errorf("saving state: %w", err)
		}
	}
}

// versionIn returns the version of the account's record in a Secret; "" without one.
func (a *Account) versionIn(o object) tokens.Version { return o.versionOf(a.key()) }
