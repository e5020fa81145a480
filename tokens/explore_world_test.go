package tokens

// moves visits all that may happen next.
func (e *explorer) moves(w world, v visit) {
	for i := range e.replicas {
		e.run(w, i, v)
	}
	e.strays(w, v)
	e.endPauses(w, v)
	e.passTime(w, v)
	if e.faulty(w) {
		for i := range e.replicas {
			e.crash(w, i, v)
			e.pause(w, i, v)
		}
		if e.storeLoss {
			e.loseRecord(w, v)
		}
	}
}

// calmMove returns a world that follows w when nothing happens that need not: no fault, no
// late write or request, and no access token expires. ok is false when w stays as it is.
// Time passes when nothing else happens.
func (e *explorer) calmMove(w world) (m move, next world, ok bool) {
	v := func(what move, after world) {
		if ok || what.fault {
			return
		}
		if e.forget(&after); after != w {
			m, next, ok = what, after, true
		}
	}
	for i := 0; i < e.replicas && !ok; i++ {
		e.run(w, i, v)
	}
	for _, pass := range []func(world, visit){e.endPauses, e.passTime} {
		if !ok {
			pass(w, v)
		}
	}
	return m, next, ok
}

// run visits what may happen to a replica and its request.
func (e *explorer) run(w world, i int, v visit) {
	if w.replicas[i].at == asked {
		e.redeem(w, i, v)
	}
	if w.replicas[i].paused {
		w.replicas[i].paused = false
		emit(v, i, "goes on", w)
		return
	}
	e.steps(w, i, v)
}

// answerTo is the issuer's side of a request.
func (e *explorer) answerTo(w *world, token int8) answer {
	if token == w.live && !w.revoked {
		w.live++
		return granted
	}
	w.revoked = w.revoked || e.revoke
	return invalidGrant
}

// redeem has a request reach the issuer.
func (e *explorer) redeem(w world, i int, v visit) {
	r := &w.replicas[i]
	r.at = answered
	if e.faulty(w) {
		lost := w
		lost.excused |= 1 << r.work.gen
		lost.replicas[i].answer = requestLost
		emitFault(v, i, "has its request lost", lost)
	}
	r.answer = e.answerTo(&w, r.work.gen)
	emit(v, i, "has its request redeemed", w)
}

// swap visits the outcomes of Store.Swap. done is told of each, and returns what is wrong.
func (e *explorer) swap(
	w world, i int, next slimRecord, current bool, what string, v visit, done func(*world, error) (wrong string),
) {
	visit := func(w world, how string, err error, fault bool) {
		wrong := done(&w, err)
		if fault {
			w.faults++
		}
		v(move{replica: i, what: what + how, fault: fault, wrong: wrong}, w)
	}
	applied := w
	fits := current || e.bug == noComparison
	if fits {
		e.apply(&applied, i, next)
	}
	if e.faulty(w) {
		visit(w, ": the store is down", errStoreDown, true)
		visit(w, ": outcome unknown, not written", ErrUnknown, true)
		if fits {
			unknown := applied
			unknown.replicas[i].current, unknown.replicas[i].replacing = false, false
			unknown.replicas[i].news = true
			visit(unknown, ": outcome unknown, written", ErrUnknown, true)
			late := w
			late.late, late.hasLate = next, true
			visit(late, ": outcome unknown, written later", ErrUnknown, true)
		}
	}
	switch {
	case fits:
		visit(applied, "", nil, false)
	case w.damaged:
		visit(w, ": the record is damaged", ErrDamaged, false)
	default:
		visit(w, ": conflict", ErrConflict, false)
	}
}

// apply writes a record. i is the replica that writes it; -1 is none.
func (e *explorer) apply(w *world, i int, next slimRecord) {
	old := w.store
	if e.storeLoss && next.gen > old.gen {
		w.backup = old
		w.backup.holder, w.backup.seq, w.backup.try, w.backup.began = 0, 0, 0, 0
	}
	w.store, w.damaged = next, false
	w.late, w.hasLate = slimRecord{}, false
	w.durable |= 1 << next.gen
	w.regressed = w.regressed && w.durable>>(next.gen+1) != 0
	for k := range e.replicas {
		r := &w.replicas[k]
		r.current, r.replacing, r.news = k == i, k == i, k != i
		if next.holder != old.holder || next.seq != old.seq {
			r.sight = 0
		}
	}
}

// strays visits what may happen though nobody does it.
func (e *explorer) strays(w world, v visit) {
	if w.hasLate {
		late := w
		e.apply(&late, -1, w.late)
		emit(v, -1, "a late write arrives", late)
	}
	if w.orphan > 0 {
		late := w
		e.answerTo(&late, w.orphan-1)
		late.orphan = 0
		v(move{replica: -1, what: "the request of a crashed process arrives", fault: true}, late)
	}
	for i := range e.replicas {
		if w.expired < goal && w.replicas[i].published == w.expired+1 {
			next := w
			next.expired++
			emit(v, -1, "an access token expires", next)
			return
		}
	}
}

// records are all records in a world.
func (w *world) records() (all [3 + 2*mostExplored]*slimRecord) {
	all[0], all[1], all[2] = &w.store, &w.backup, &w.late
	for i := range w.replicas {
		all[3+2*i], all[4+2*i] = &w.replicas[i].held, &w.replicas[i].work
	}
	return all
}

// endPauses has the pauses end that are shorter than the takeover delay.
func (e *explorer) endPauses(w world, v visit) {
	w.shorten()
	for i := range e.replicas {
		if r := &w.replicas[i]; r.cooling == coolingBriefly {
			r.cooling = 0
		}
	}
	emit(v, -1, "backoffs end", w)
}

func (w *world) shorten() {
	for _, rec := range w.records() {
		for _, a := range []*age{&rec.lostAt, &rec.retryAt, &rec.began} {
			if *a == pauseGoesOn {
				*a = pauseIsOver
			}
		}
	}
}

// passTime has a tick pass, unless a replica that is not paused would act before.
func (e *explorer) passTime(w world, v visit) {
	for i := range e.replicas {
		r := &w.replicas[i]
		if !r.paused && !e.mayTake(r) {
			return
		}
		r.age = min(r.age+1, e.clock.takeover)
		if r.at == idle {
			r.age = 0
		}
		if r.sight > 0 {
			r.sight = min(r.sight+1, e.clock.takeover+1)
		}
		if r.inTime() {
			r.busy = min(r.busy+1, e.clock.takeover)
		}
		r.cooling = 0
	}
	w.shorten()
	for _, rec := range w.records() {
		rec.notBefore = max(rec.notBefore-1, 0)
	}
	emit(v, -1, "time passes", w)
}

// inTime reports whether the replica is within a request, or a write that follows it.
func (r *replica) inTime() bool {
	return r.at >= asked || saveState(r.saving) >= savePending
}

// mayTake reports whether a replica may take another tick for what it does.
func (e *explorer) mayTake(r *replica) bool {
	switch {
	case r.at == claim, r.at == claimSettle, r.at == send:
		return r.age < e.clock.claim
	case r.at == asked, r.at == answered:
		return r.busy < e.clock.request
	case r.at == idle && r.cooling == coolingLong: // the pause goes before what is to be stored
		return true
	case r.inTime():
		return r.busy < e.clock.save
	}
	return true
}
