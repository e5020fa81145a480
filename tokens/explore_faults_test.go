package tokens

// exposed returns the bits of the refresh tokens that are lost, or spent a second time, when
// the replica stops now.
func (r *replica) exposed() (bits int8) {
	if r.at == asked || r.at == answered || r.at == die {
		bits |= 1 << r.work.gen
	}
	if saveState(r.saving) >= savePending && r.held.gen > 0 {
		bits |= 1 << (r.held.gen - 1)
	}
	return bits
}

// stop notes what may go wrong because a replica stops.
func (w *world) stop(r *replica) {
	w.excused |= r.exposed()
	w.excusedAll = w.excusedAll || w.regressed
}

// crash ends a process. Another takes its place, which knows nothing.
func (e *explorer) crash(w world, i int, v visit) {
	r := w.replicas[i]
	if r == (replica{news: true}) {
		return
	}
	w.stop(&r)
	if r.at == asked {
		w.orphan = r.work.gen + 1
	}
	for _, rec := range w.records() {
		if rec.holder == int8(i+1) {
			rec.holder = endedHolder
		}
	}
	w.replicas[i] = replica{news: true}
	emitFault(v, i, "crashes", w)
	next, current := r.work, r.current
	switch r.at {
	case claim, fail, die:
	case save:
		next, current = r.held, r.replacing
	default:
		return
	}
	if current {
		if next.holder == int8(i+1) {
			next.holder = endedHolder
		}
		w.late, w.hasLate = next, true
		emitFault(v, i, "crashes, and its write arrives later", w)
	}
}

// pause stops a process for longer than any time that it is given.
func (e *explorer) pause(w world, i int, v visit) {
	r := &w.replicas[i]
	if r.paused || r.at == idle && saveState(r.saving) < savePending {
		return
	}
	r.paused = true
	w.stop(r)
	emitFault(v, i, "is paused", w)
}

// loseRecord has the store lose its record. That may cost a token unless every process that
// runs holds the newest, and none is at work. Nobody puts a dead record back.
func (e *explorer) loseRecord(w world, v visit) {
	safe := !w.store.dead
	for i := range e.replicas {
		r := &w.replicas[i]
		safe = safe && r.at == idle && !r.paused && saveState(r.saving) == saveDone && r.held.gen == w.store.gen
	}
	w.regressed, w.forgetful, w.excusedAll = true, true, w.excusedAll || !safe
	for i := range e.replicas {
		r := &w.replicas[i]
		r.current, r.replacing, r.news, r.sight = false, false, true, 0
	}
	w.late, w.hasLate = slimRecord{}, false
	if w.store.gen > 0 && !w.damaged {
		older := w
		older.store = w.backup
		emitFault(v, -1, "the store goes back to an older record", older)
	}
	if !w.damaged {
		w.damaged = true
		emitFault(v, -1, "the record is damaged", w)
	}
}
