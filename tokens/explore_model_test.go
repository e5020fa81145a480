package tokens

import (
	"fmt"
	"hash/maphash"

	"ticketproxy/secret"
)

// The exploration walks through every history of a small model: some replicas, one store
// and one issuer, in steps that are atomic. What a replica decides is decided by the
// functions that the Refresher calls: decide, after, cooldown, isStale, isLost, adopts,
// settleClaim and settleGrant. The model is what lies between them.
//
// Tokens have the number of the generation that they begin. Times are classes: a pause of
// the record goes on or is over, and a clock counts ticks up to the takeover delay.

// goal is the generation in which no replica refreshes any more.
const goal = 2

// mostExplored is the highest number of replicas.
const mostExplored = 3

// endedHolder is the holder of an intent whose process has crashed.
const endedHolder = 9

// An age says whether a pause that a record asks for goes on. Zero asks for none.
type age int8

const (
	pauseGoesOn age = iota + 1
	pauseIsOver
)

// A slimRecord is a Record of the model.
type slimRecord struct {
	gen       int8
	holder    int8 // of the intent: 0 is no intent, 1 is the first replica
	seq       int8 // tells a replica's intents apart
	try       int8
	began     age // of the intent
	lost      int8
	failures  int8
	lostAt    age
	retryAt   age
	notBefore int8 // ticks left
	dead      bool
}

// A place is where a replica is in the protocol.
type place int8

const (
	idle        place = iota // outside, or about to load
	recheck                  // the holder has ended: about to load again
	claim                    // about to swap in the intent
	claimSettle              // the outcome of that is not known: about to load
	send                     // about to send the request
	asked                    // the request is on its way
	answered                 // the answer is on its way
	save                     // about to swap in the grant
	saveSettle               // that conflicted, or its outcome is not known: about to load
	fail                     // about to swap in the failure
	die                      // about to swap in the death
)

// An answer is what the issuer has said.
type answer int8

const (
	noAnswer answer = iota
	granted
	invalidGrant
	notSent
	requestLost
)

// A cooling replica begins no refresh.
type cooling int8

const (
	coolingBriefly cooling = iota + 1 // for a backoff
	coolingLong                       // until NotBefore
)

// A replica is one process. It is zero after a crash.
type replica struct {
	at        place
	paused    bool
	dead      bool // it knows that the account is
	news      bool // the store has changed since it looked
	cooling   cooling
	saving    int8 // a saveState
	held      slimRecord
	replacing bool // the version that held replaces is the stored one
	work      slimRecord
	current   bool // the version that work replaces is the stored one
	seq       int8 // of its last intent
	age       int8 // ticks since its claim began
	busy      int8 // ticks since its request or write began
	sight     int8 // ticks since it first saw the stored intent of another, and one; 0 is never
	published int8 // the generation of its access token, and one; 0 is none
	answer    answer
}

// A world is a state of the model. It is comparable. What comes last is not known to the
// replicas, and tells what they may do.
type world struct {
	replicas [mostExplored]replica
	store    slimRecord
	damaged  bool
	backup   slimRecord // what the store had before the last generation; without its intent
	late     slimRecord // a write that may still arrive
	hasLate  bool
	live     int8 // the refresh token that the issuer takes
	revoked  bool // it takes none
	orphan   int8 // the token of a request whose process has crashed, and one
	expired  int8 // access tokens of earlier generations have expired
	faults   int8 // so far

	durable    int8 // bits: generations that were stored
	sent       int8 // bits: refresh tokens that were sent
	excused    int8 // bits: refresh tokens that may be sent again
	excusedAll bool
	regressed  bool // the store has lost a record, which the replicas know
	forgetful  bool // it has lost what was known of a lost attempt
}

// A clock says how many ticks the takeover delay has, and how long a replica that is not
// paused takes at most. With a single tick, no replica takes any time that counts: that is
// the rule that time passes only while nobody holds a claim, but for pauses.
type clock struct{ takeover, claim, request, save int8 }

// An explorer has the parameters of an exploration.
type explorer struct {
	replicas  int
	faults    int8
	revoke    bool // the issuer revokes all when a spent token is sent again
	presence  bool // the store knows which processes have ended
	storeLoss bool // the store may lose its record
	clock     clock
	bug       bug

	refresh, access [goal + 2]secret.String
	ids             [endedHolder + 1][2]string
	seed            maphash.Seed
}

func newExplorer(e explorer) *explorer {
	for k := range e.refresh {
		e.refresh[k], e.access[k] = secret.New(fmt.Sprint("r", k)), secret.New(fmt.Sprint("a", k))
	}
	for holder := range e.ids {
		for seq := range e.ids[holder] {
			e.ids[holder][seq] = fmt.Sprintf("%d.%d", holder, seq)
		}
	}
	e.seed = maphash.MakeSeed()
	return &e
}

// start is the state in which every replica starts, over a record that was never redeemed.
func (e *explorer) start() world {
	w := world{durable: 1}
	for i := range e.replicas {
		w.replicas[i].news = true
	}
	return w
}

// forget drops what a replica does not use any more.
func (r *replica) forget() {
	if r.at < claim || r.at > send {
		r.age = 0
	}
	if !r.inTime() {
		r.busy = 0
	}
	if r.at == idle || r.at == save || r.at == saveSettle {
		r.work, r.current = slimRecord{}, false
	}
	if saveState(r.saving) < savePending {
		r.replacing = false
	}
}

func (e *explorer) forget(w *world) {
	for i := range e.replicas {
		w.replicas[i].forget()
	}
}

// canonical returns the world with its replicas in an order of their own, so that worlds
// which differ in the replicas' numbers are one.
func (e *explorer) canonical(w world) world {
	var keys [mostExplored]uint64
	var order [mostExplored]int
	for i := range e.replicas {
		r := w.replicas[i]
		me := int8(i + 1)
		for _, holder := range []*int8{&r.held.holder, &r.work.holder} {
			if *holder != 0 && *holder != me && *holder != endedHolder {
				*holder = endedHolder - 1
			} else if *holder == me {
				*holder = 1
			}
		}
		keys[i] = maphash.Comparable(e.seed, struct {
			r                   replica
			store, backup, late bool
		}{r, w.store.holder == me, w.backup.holder == me, w.late.holder == me})
		order[i] = i
		for k := i; k > 0 && keys[order[k-1]] > keys[order[k]]; k-- {
			order[k-1], order[k] = order[k], order[k-1]
		}
	}
	var name [endedHolder + 1]int8
	name[endedHolder] = endedHolder
	next := w
	for to, from := range order[:e.replicas] {
		next.replicas[to] = w.replicas[from]
		name[from+1] = int8(to + 1)
	}
	for i := range e.replicas {
		r := &next.replicas[i]
		r.held.holder, r.work.holder = name[r.held.holder], name[r.work.holder]
	}
	next.store.holder, next.late.holder = name[w.store.holder], name[w.late.holder]
	return next
}
