package kubernetes

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"ticketproxy/tokens"
)

// Waits of the watch.
const (
	minWatchWait    = time.Second      // before a watch that failed is begun again
	maxWatchWait    = 30 * time.Second // after many failures in a row
	deniedWatchWait = 10 * time.Minute // after the server has forbidden it
	minWatchTime    = 5 * time.Minute  // how long the server lets one watch last, and up to twice that
)

// A watch tells the subscribers of a Secret that their parts of it have changed, without
// polling.
// One request of the API server stays open (kubernetes.io, "Efficient detection of
// changes"). After it ends, the next one goes on at the resourceVersion that was last heard
// of, so no change is missed. Where the watch is forbidden, nobody is told of anything.
// Safe for concurrent use.
type watch struct {
	secret *Secret
	live   atomic.Bool // the server tells of changes now; if it has told of no Secret, there is none
	// connected is called each time when the server begins to tell; it returns at once. nil
	// calls nothing.
	connected func()
	// shown is called after the server has told of the Secret, when the subscribers know; it
	// returns at once. nil calls nothing.
	shown func()

	mu          sync.Mutex
	cancel      context.CancelFunc // nil before the first subscription
	ended       chan struct{}
	closed      bool
	subscribers map[string]*subscriber // by the name of their part
}

// A subscriber is called after its part of the Secret has changed.
type subscriber struct {
	part    func(object) tokens.Version // names what the part is now
	changed func(object)                // returns at once
	version tokens.Version              // that was told of
	history history
}

// dataOf returns a key's data as a part of a Secret.
func dataOf(key string) func(object) tokens.Version {
	return func(o object) tokens.Version { return o.versionOf(key) }
}

// subscribe has changed called for a part. The first subscription begins the watch.
func (w *watch) subscribe(name string, part func(object) tokens.Version, changed func(object)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.subscribers == nil {
		w.subscribers = map[string]*subscriber{}
	}
	w.subscribers[name] = &subscriber{part: part, changed: changed}
	if w.cancel == nil && !w.closed {
		ctx, cancel := context.WithCancel(context.Background())
		w.cancel, w.ended = cancel, make(chan struct{})
		go w.run(ctx, w.ended)
	}
}

// seen notes the version of a key that this process has read or written, which it need not
// be told of.
func (w *watch) seen(key string, version tokens.Version) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.subscribers[key]; s != nil {
		s.version = version
	}
}

func (w *watch) close() {
	w.mu.Lock()
	w.closed = true
	cancel, ended := w.cancel, w.ended
	w.mu.Unlock()
	if cancel != nil {
		cancel()
		<-ended
	}
}

// tell notes the Secret in the next event, and tells the subscribers whose parts differ from
// what they were told of last. deleted is the Secret that the event has deleted, or empty.
func (w *watch) tell(o, deleted object) {
	w.secret.noteEvent(o, cmp.Or(o.Metadata.ResourceVersion, deleted.Metadata.ResourceVersion))
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.subscribers {
		version := s.part(o)
		s.history.set(version, s.part(deleted))
		if version != s.version {
			s.version = version
			s.changed(o)
		}
	}
}

// gap notes that changes may have been missed.
func (w *watch) gap() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.subscribers {
		s.history.gap()
	}
}

// errExpired says that the server no longer has the events since a resourceVersion.
var errExpired = errors.New("the resourceVersion is too old")

// run watches until ctx is done.
func (w *watch) run(ctx context.Context, ended chan<- struct{}) {
	defer close(ended)
	from := "" // the resourceVersion that was last heard of
	for failures := 0; ; {
		heard, err := w.follow(ctx, &from)
		w.live.Store(false)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errExpired):
			from = ""
			w.gap()
		}
		if heard {
			failures = 0
		}
		wait := min(minWatchWait<<min(failures, 10), maxWatchWait)
		failures++
		switch {
		case isStatus(err, http.StatusForbidden):
			wait = deniedWatchWait
		case err == nil: // the server has ended it, as it was asked to
			wait = 0
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + rand.N(wait/2+1)):
		}
	}
}

// follow is one watch. It reports whether anything was heard of.
func (w *watch) follow(ctx context.Context, from *string) (heard bool, _ error) {
	query := url.Values{
		"watch":               {"1"},
		"fieldSelector":       {"metadata.name=" + w.secret.name},
		"allowWatchBookmarks": {"true"},
		"timeoutSeconds":      {fmt.Sprint(int((minWatchTime + rand.N(minWatchTime)).Seconds()))},
	}
	if *from != "" { // otherwise the server begins with the Secret as it is now, if there is one
		query.Set("resourceVersion", *from)
	}
	res, err := w.secret.client.send(ctx, http.MethodGet, w.secret.collection()+"?"+query.Encode(), "", nil)
	if isStatus(err, http.StatusGone) {
		return false, errExpired
	}
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	w.live.Store(true)
	if w.connected != nil {
		w.connected()
	}
	events := json.NewDecoder(res.Body)
	for {
		var event struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		err := events.Decode(&event)
		if errors.Is(err, io.EOF) {
			return heard, nil
		}
		if err != nil {
			return heard, err
		}
		var o object
		var status struct {
			Code int `json:"code"`
		}
		if event.Type == "ERROR" {
			if json.Unmarshal(event.Object, &status) == nil && status.Code == http.StatusGone {
				return heard, errExpired
			}
			return heard, errors.New("the API server has ended the watch")
		}
		if err := json.Unmarshal(event.Object, &o); err != nil {
			return heard, err
		}
		heard, *from = true, o.Metadata.ResourceVersion
		switch event.Type {
		case "ADDED", "MODIFIED":
			w.tell(o, object{})
			if w.shown != nil {
				w.shown()
			}
		case "DELETED":
			w.tell(object{}, o)
		}
	}
}
