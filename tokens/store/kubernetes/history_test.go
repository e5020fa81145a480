package kubernetes

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"ticketproxy/tokens"
	"ticketproxy/tokens/store/storetest"
)

// TestRestored tests that a loss is told from a loss of something else, by each way in which
// a record can be lost and stored again.
func TestRestored(t *testing.T) {
	t.Parallel()
	removeKey := func(f *fakeServer) {
		f.change(func(data map[string][]byte) { delete(data, "park.json") })
	}
	put := func(t *testing.T, a *Account, old tokens.Version, generation uint64) tokens.Version {
		t.Helper()
		return storetest.MustSwap(t, a, old, storetest.Record(generation))
	}
	for name, test := range map[string]struct {
		lose func(t *testing.T, f *fakeServer, theirs *Account, version tokens.Version, told chan struct{})
		want bool
	}{
		"the Secret was deleted": {
			func(_ *testing.T, f *fakeServer, _ *Account, _ tokens.Version, _ chan struct{}) { f.remove() }, true,
		},
		"the key was removed": {
			func(_ *testing.T, f *fakeServer, _ *Account, _ tokens.Version, _ chan struct{}) { removeKey(f) }, true,
		},
		"an empty Secret was created": {
			func(_ *testing.T, f *fakeServer, _ *Account, _ tokens.Version, _ chan struct{}) {
				f.remove()
				f.change(func(map[string][]byte) {})
			}, true,
		},
		"the watch was interrupted": {
			func(_ *testing.T, f *fakeServer, _ *Account, _ tokens.Version, _ chan struct{}) {
				f.CloseClientConnections()
				f.remove()
			}, true,
		},
		"another process has written before": {
			func(t *testing.T, f *fakeServer, theirs *Account, version tokens.Version, _ chan struct{}) {
				put(t, theirs, version, 2)
				f.remove()
			}, false,
		},
		"another process has stored it again, and it was lost again": {
			func(t *testing.T, f *fakeServer, theirs *Account, _ tokens.Version, _ chan struct{}) {
				f.remove()
				put(t, theirs, put(t, theirs, "", 1), 2)
				f.remove()
			}, false,
		},
		"the server has forgotten what happened after the loss": {
			func(t *testing.T, f *fakeServer, theirs *Account, _ tokens.Version, told chan struct{}) {
				f.remove()
				<-told
				var expired atomic.Bool
				f.mu.Lock()
				f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
					if r.FormValue("resourceVersion") == "" || expired.Swap(true) {
						return false
					}
					fail(w, http.StatusGone, "Expired", "too old resource version")
					return true
				}
				f.mu.Unlock()
				f.CloseClientConnections()
				put(t, theirs, put(t, theirs, "", 1), 2)
				f.remove()
			}, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t)
			mine, theirs := f.open(t).Account("park"), f.open(t).Account("park")
			told := make(chan struct{}, 100)
			mine.Notify(func() { told <- struct{}{} })
			version := put(t, theirs, "", 1)
			<-told
			test.lose(t, f, theirs, version, told)
			restored := storetest.MustSwap(t, mine, "", storetest.FullRecord())
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if got := mine.Restored(ctx, version, restored); got != test.want {
				t.Errorf("%t, want %t", got, test.want)
			}
		})
	}
}

// TestRestoredUnwatched tests that nothing is certain without a watch, or one that has not
// caught up.
func TestRestoredUnwatched(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	a := f.open(t).Account("park")
	if a.Restored(t.Context(), "a", "b") {
		t.Error("true without a watch")
	}
	a.Notify(func() {})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if a.Restored(ctx, "a", "b") {
		t.Error("true for versions that nobody has heard of")
	}
}
