package tokens

import (
	"sync"

	"go.uber.org/zap"
)

// A refusalFlag holds the generation whose access token the API has refused to a reader. It
// counts as a 401 that an app of this process has met, and stays one until there is a newer
// generation: a reader raises it only once. The zero value is ready. Safe for concurrent
// use.
type refusalFlag struct {
	mu         sync.Mutex
	generation uint64
	raised     chan struct{} // has a value after a raise
}

func (f *refusalFlag) init() {
	if f.raised == nil {
		f.raised = make(chan struct{}, 1)
	}
}

// raise notes the generation that was flagged last.
func (f *refusalFlag) raise(generation uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.init()
	f.generation = generation
	select {
	case f.raised <- struct{}{}:
	default:
	}
}

// told receives a value after a raise. It is for Run alone.
func (f *refusalFlag) told() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.init()
	return f.raised
}

// is reports whether the flag is raised for a generation.
func (f *refusalFlag) is(generation uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.raised != nil && f.generation == generation
}

// noteFlag is told of a reader's flag. One for an older generation than the current one does
// nothing, since the readers will have the newer token in a moment.
func (r *Refresher) noteFlag(generation uint64) {
	if v := r.current.Load(); v == nil || generation >= v.token.Generation {
		r.flag.raise(generation)
	}
}

// obeyFlag treats a reader's flag for the current generation as a 401 that an app has met.
// The refusal pause binds it, as it binds apps: whoever can raise flags causes no more
// refreshes than an API that refuses every token. In a pause the flag waits.
func (r *Refresher) obeyFlag() {
	v := r.current.Load()
	if v == nil || !r.flag.is(v.token.Generation) || r.isRefused(v.token.Generation) || !r.noteRejection(v) {
		return
	}
	r.want()
	r.config.Log.Info("a reader says that the API refuses the access token",
		zap.Uint64("generation", v.token.Generation))
}
