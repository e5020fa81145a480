package tokens

import (
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"ticketproxy/secret"
)

// A Config says which account a Refresher keeps fresh, and with what.
type Config struct {
	Account  string
	Issuer   Issuer
	Store    Store
	Seed     func() secret.String // the operator's present refresh token; nil when there is none
	Rotation Rotation
	Grace    bool           // a spent refresh token still works for a while, so a lost answer may be asked for again soon
	Holder   string         // this process, as its Store knows it; unique
	Patience time.Duration  // how long a caller waits at most; 10 s when 0
	Takeover time.Duration  // how long another process's intent is respected; 60 s when 0 (see isStale)
	Poll     time.Duration  // how often the store is looked at for news; 1 s when 0
	Log      *zap.Logger    // nothing is logged when nil
	DeadHint string         // what revives a dead account; logged when it dies
	Observer Observer       // told of events; may be nil
	Rand     func() float64 // jitter in [0, 1); math/rand/v2 when nil
}

// defaultTakeover is the takeover delay. No process that runs takes so long from a claim to a
// stored grant: isStale gives it 10 s until the token request, Issuer 30 s for that, and
// storeDeadline 10 s for each use of the store.
const defaultTakeover = 60 * time.Second

// New returns the Refresher that c describes. It does nothing by itself.
func New(c Config) *Refresher {
	if c.Seed == nil {
		c.Seed = func() secret.String { return secret.String{} }
	}
	if c.Patience == 0 {
		c.Patience = 10 * time.Second
	}
	if c.Takeover == 0 {
		c.Takeover = defaultTakeover
	}
	if c.Poll == 0 {
		c.Poll = time.Second
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Observer == nil {
		c.Observer = nopObserver{}
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	return &Refresher{config: c}
}

// An Observer is told what happens to an account. Its methods return at once.
type Observer interface {
	// Refreshed reports a token request, by "ok" or its failure's Class.
	Refreshed(result string, took time.Duration)
	// WriteFailed reports a record that could not be stored.
	WriteFailed()
}

// nopObserver is the Observer of a Config without one.
type nopObserver struct{}

func (nopObserver) Refreshed(string, time.Duration) {}
func (nopObserver) WriteFailed()                    {}
