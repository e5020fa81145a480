package tokens

import "errors"

// receive is the second half of Refresher.spend.
func (e *explorer) receive(w world, i int, v visit) {
	r := &w.replicas[i]
	if e.faulty(w) && (r.answer == granted || r.answer == invalidGrant) {
		lost := w
		lost.excused |= 1 << r.work.gen
		lost.replicas[i].answer = requestLost
		m := e.take(&lost, i, "gets no answer")
		lost.faults++
		m.fault = true
		v(m, lost)
	}
	m := e.take(&w, i, "gets the answer")
	v(m, w)
}

// take has the real after say what follows from an answer.
func (e *explorer) take(w *world, i int, what string) move {
	r, m := &w.replicas[i], move{replica: i, what: what}
	var grant Grant
	var err error
	switch r.answer {
	case granted:
		grant = e.grant(r.work.gen + 1)
	case invalidGrant:
		err = &IssuerError{Class: Invalid, Status: 400, Code: "invalid_grant"}
	case notSent:
		err = &IssuerError{Class: NotSent, Err: errors.New("refused")}
	default:
		err = &IssuerError{Class: Ambiguous, Err: errors.New("reset")}
	}
	rec, result := after(e.record(r.work), grant, err, e.facts(*w, i, holderNone))
	r.answer, r.busy = noAnswer, 0
	switch result {
	case outcomeRotated:
		r.held, r.saving, r.replacing, r.at = e.slim(rec), int8(savePending), r.current, save
		r.work = slimRecord{}
		if e.bug == publishFirst {
			m.wrong = e.publish(w, i, r.held.gen)
		}
		return m
	case outcomeDied:
		r.at = die
	default:
		r.at = fail
	}
	r.work = e.slim(rec)
	return m
}

// save is Refresher.saveHeld up to the first conflict.
func (e *explorer) save(w world, i int, v visit) {
	r := &w.replicas[i]
	e.swap(w, i, r.held, r.replacing, "saves", v, func(w *world, err error) string {
		r := &w.replicas[i]
		unknown := errors.Is(err, ErrUnknown)
		r.at = idle
		switch {
		case err == nil, e.bug == saveUnknownIsStored && unknown:
			r.saving = int8(saveDone)
			return e.adopt(w, i, r.held)
		case e.bug == saveUnknownIsFailed && unknown, e.bug == conflictDrops && errors.Is(err, ErrConflict):
			r.saving = int8(saveNothing)
		case errors.Is(err, errStoreDown):
			r.saving, r.cooling = int8(saveFailed), max(r.cooling, coolingBriefly)
		default:
			r.at = saveSettle
		}
		return ""
	})
}

// saveSettle has the real settleGrant say what to do about a grant that may not be stored.
func (e *explorer) saveSettle(w world, i int, v visit) {
	r := &w.replicas[i]
	r.at = idle
	if e.faulty(w) {
		down := w
		down.replicas[i].saving, down.replicas[i].cooling = int8(saveFailed), max(r.cooling, coolingBriefly)
		emitFault(v, i, "cannot load to save", down)
	}
	rec, err := w.read()
	m := move{replica: i, what: "loads to save"}
	switch settleGrant(stored{Record: e.record(rec), err: err, cause: ErrConflict}, e.record(r.held)) {
	case settleStore, settleStoreLost:
		r.at, r.replacing = save, true
	case settleStored:
		m.wrong = e.adopt(&w, i, rec)
	case settleSuperseded:
		m.what = "loads to save, and finds a newer record"
		r.saving = int8(saveNothing)
		m.wrong = e.adopt(&w, i, rec)
	}
	v(m, w)
}

// adopt is Refresher.adopt. It returns what is wrong with it.
func (e *explorer) adopt(w *world, i int, rec slimRecord) (wrong string) {
	r := &w.replicas[i]
	switch adopts(e.record(r.held), saveState(r.saving), e.record(rec)) {
	case adoptNothing:
		return ""
	case adoptNewer:
		r.dead, r.cooling = false, 0
		wrong = e.publish(w, i, rec.gen)
	case adoptSame:
		if r.published != rec.gen+1 {
			wrong = e.publish(w, i, rec.gen)
		}
	}
	r.held, r.saving = rec, int8(saveDone)
	r.dead = r.dead || rec.dead
	return wrong
}

// publish has a replica hand out the access token of a generation.
func (e *explorer) publish(w *world, i int, gen int8) (wrong string) {
	r := &w.replicas[i]
	if w.durable&(1<<gen) == 0 && w.usable(r.published) {
		wrong = "an access token is published before its record is stored, and an older one serves"
	}
	r.published = gen + 1
	return wrong
}

// usable reports whether a published access token has not expired.
func (w *world) usable(published int8) bool { return published > w.expired }
