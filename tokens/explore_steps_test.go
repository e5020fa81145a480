package tokens

import (
	"errors"
	"time"
)

// A move leads from one world to another.
type move struct {
	replica int // -1 for none
	what    string
	fault   bool
	wrong   string // what the move does that the protocol must not do
}

// A visit is given a move and the world after it.
type visit func(move, world)

// A bug is a mistake that is made in the model on purpose.
type bug string

const (
	noIntent            bug = "no intent"
	noComparison        bug = "no comparison"
	publishFirst        bug = "published before it is stored"
	noDelay             bug = "taken over without the delay"
	noStaleness         bug = "sent though the claim is old"
	claimUnknownIsWon   bug = "unknown outcome of a claim taken for success"
	saveUnknownIsStored bug = "unknown outcome of a save taken for success"
	saveUnknownIsFailed bug = "unknown outcome of a save taken for failure"
	conflictDrops       bug = "grant dropped at a conflict"
	lossIsIgnored       bug = "record that the store has lost is not put back"
)

var errStoreDown = errors.New("store is down")

// faulty reports whether a fault may happen.
func (e *explorer) faulty(w world) bool { return w.faults < e.faults }

// emit has v visit w, which a replica has reached.
func emit(v visit, i int, what string, w world) { v(move{replica: i, what: what}, w) }

// emitFault is emit for a move that is a fault.
func emitFault(v visit, i int, what string, w world) {
	w.faults++
	v(move{replica: i, what: what, fault: true}, w)
}

// steps visits what a replica that runs may do next.
func (e *explorer) steps(w world, i int, v visit) {
	switch r := &w.replicas[i]; r.at {
	case idle:
		e.begin(w, i, v)
	case recheck:
		e.recheck(w, i, v)
	case claim:
		e.claim(w, i, v)
	case claimSettle:
		e.claimSettle(w, i, v)
	case send:
		e.send(w, i, v)
	case answered:
		e.receive(w, i, v)
	case save:
		e.save(w, i, v)
	case saveSettle:
		e.saveSettle(w, i, v)
	case fail:
		e.swap(w, i, r.work, r.current, "records the failure", v, func(w *world, err error) string {
			r := &w.replicas[i]
			r.at, r.cooling, r.work = idle, coolingBriefly, slimRecord{}
			return ""
		})
	case die:
		e.swap(w, i, r.work, r.current, "records the death", v, func(w *world, err error) (wrong string) {
			r := &w.replicas[i]
			r.at = idle
			switch {
			case err == nil:
				wrong = e.adopt(w, i, r.work)
				r.dead = true
			case !errors.Is(err, ErrConflict):
				r.cooling = coolingBriefly
				w.excused |= 1 << r.work.gen // the issuer does not know it, but the record does not say so
			}
			r.work = slimRecord{}
			return wrong
		})
	}
}

// begin is what a replica does outside of the protocol.
func (e *explorer) begin(w world, i int, v visit) {
	r := &w.replicas[i]
	if saveState(r.saving) >= savePending {
		if saveState(r.saving) == saveFailed && !w.usable(r.published) && r.published != r.held.gen+1 {
			next := w
			wrong := e.publish(&next, i, r.held.gen)
			v(move{replica: i, what: "publishes what could not be stored", wrong: wrong}, next)
		}
		if r.cooling == 0 {
			e.save(w, i, v)
		}
		return
	}
	wants := !r.dead && r.cooling == 0 && (saveState(r.saving) == saveNothing || r.held.gen < goal)
	if wants || r.news {
		e.look(w, i, wants, v)
	}
}

// read is Store.Load.
func (w *world) read() (slimRecord, error) {
	if w.damaged {
		return slimRecord{}, ErrDamaged
	}
	return w.store, nil
}

// look is Refresher.load, and with advance what Refresher.advance does up to a claim.
func (e *explorer) look(w world, i int, advance bool, v visit) {
	r := &w.replicas[i]
	if advance && e.faulty(w) {
		down := w
		down.replicas[i].cooling = coolingBriefly
		emitFault(v, i, "cannot load", down)
	}
	rec, err := w.read()
	if e.bug != lossIsIgnored && isLost(e.record(r.held), saveState(r.saving), e.record(rec), err) {
		if saveState(r.saving) == saveDone {
			r.held.notBefore, r.saving = e.clock.takeover, int8(savePending)
		}
		r.at, r.replacing, r.busy = save, true, 0
		emit(v, i, "finds that the store has lost its record", w)
		return
	}
	r.news = false
	if err != nil {
		r.cooling = coolingLong
		emit(v, i, "finds a damaged record", w)
		return
	}
	before := r.published
	wrong := e.adopt(&w, i, rec)
	if !advance || r.published != before && w.usable(r.published) {
		v(move{replica: i, what: "loads", wrong: wrong}, w)
		return
	}
	e.consider(w, i, rec, v)
}

// consider is the part of Refresher.advance after the record was loaded and adopted.
func (e *explorer) consider(w world, i int, rec slimRecord, v visit) {
	r, holder := &w.replicas[i], holderNone
	if rec.holder != 0 && rec.holder != int8(i+1) {
		holder = holderBusy
		r.sight = max(r.sight, 1)
		switch {
		case r.sight > e.clock.takeover, e.bug == noDelay:
			holder = holderSilent
		case e.presence && rec.holder == endedHolder:
			r.at, r.work, r.current = recheck, rec, true
			emit(v, i, "loads, and sees that the holder has ended", w)
			return
		}
	}
	e.decide(w, i, rec, holder, v)
}

func (e *explorer) recheck(w world, i int, v visit) {
	r := &w.replicas[i]
	rec, current := r.work, r.current
	r.at, r.work = idle, slimRecord{}
	if e.faulty(w) {
		down := w
		down.replicas[i].cooling = coolingBriefly
		emitFault(v, i, "cannot load again", down)
	}
	if !current {
		emit(v, i, "loads again, and finds another record", w)
		return
	}
	e.decide(w, i, rec, holderEnded, v)
}

// decide has the real decide say what to do about a record.
func (e *explorer) decide(w world, i int, rec slimRecord, holder holderState, v visit) {
	r := &w.replicas[i]
	d := decide(e.record(rec), e.facts(w, i, holder))
	switch d.step {
	case stepDead:
		r.dead = true
		emit(v, i, "sees that the account is dead", w)
	case stepCoolDown:
		r.cooling = coolingBriefly
		if rec.notBefore > 0 {
			r.cooling = coolingLong
		}
		emit(v, i, "loads, and cools down", w)
	case stepWaitForHolder:
		emit(v, i, "loads, and waits for the holder", w)
	case stepRefresh:
		r.seq = 1 - r.seq
		if rec.holder == int8(i+1) {
			r.seq = 1 - rec.seq
		}
		r.at, r.work, r.current, r.age = claim, e.slim(d.record), true, 0
		r.work.holder, r.work.seq, r.work.try, r.work.began = int8(i+1), r.seq, r.work.lost+1, pauseGoesOn
		if e.bug == noIntent {
			r.at = send
		}
		emit(v, i, "loads, and is about to claim", w)
	}
}

func (e *explorer) facts(w world, i int, holder holderState) facts {
	f := facts{now: e.now(), need: needNow, rotation: RotationSingleUse, holder: holder, random: 0.5}
	if w.usable(w.replicas[i].published) {
		f.need = needNone
	}
	return f
}

// claim is Refresher.claim.
func (e *explorer) claim(w world, i int, v visit) {
	r := &w.replicas[i]
	e.swap(w, i, r.work, r.current, "claims", v, func(w *world, err error) string {
		r := &w.replicas[i]
		switch {
		case err == nil, e.bug == claimUnknownIsWon && errors.Is(err, ErrUnknown):
			r.at = send
			return ""
		case errors.Is(err, ErrUnknown):
			r.at = claimSettle
			return ""
		case !errors.Is(err, ErrConflict):
			r.cooling = coolingBriefly
		}
		r.at, r.work = idle, slimRecord{}
		return ""
	})
}

func (e *explorer) claimSettle(w world, i int, v visit) {
	r := &w.replicas[i]
	work := r.work
	r.at, r.work, r.cooling = idle, slimRecord{}, coolingBriefly
	if e.faulty(w) {
		emitFault(v, i, "cannot load its claim", w)
	}
	rec, err := w.read()
	from := stored{Record: e.record(rec), err: err, cause: ErrUnknown}
	if _, err := settleClaim(from, e.record(work)); errors.Is(err, errKeep) {
		r.at, r.work, r.cooling, r.current = send, work, 0, true
		emit(v, i, "finds its claim", w)
		return
	}
	emit(v, i, "does not find its claim", w)
}

// send is the first half of Refresher.spend.
func (e *explorer) send(w world, i int, v visit) {
	r := &w.replicas[i]
	now := e.now()
	if e.bug != noStaleness && isStale(now.Add(-time.Duration(r.age)*e.tick()), now, modelTakeover) {
		r.at, r.work = idle, slimRecord{}
		emit(v, i, "does not send, because its claim is old", w)
		return
	}
	r.busy = 0
	if e.faulty(w) {
		unsent := w
		unsent.replicas[i].at, unsent.replicas[i].answer = answered, notSent
		emitFault(v, i, "cannot reach the issuer", unsent)
	}
	m := move{replica: i, what: "sends its request"}
	token := int8(1) << r.work.gen
	switch {
	case w.sent&token == 0 || w.excusedAll:
	case w.excused&token == 0:
		m.wrong = "a refresh token is sent twice, and nothing went wrong before"
	case r.work.lostAt == 0 && !w.forgetful:
		m.wrong = "a refresh token is sent twice, and the record does not know of the first time"
	}
	w.sent |= token
	r.at = asked
	v(m, w)
}
