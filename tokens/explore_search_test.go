package tokens

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
)

// A finding is a history that the protocol must not have.
type finding struct {
	wrong string
	moves []string
}

func (f *finding) String() string {
	return fmt.Sprintf("%s:\n\t%s", f.wrong, strings.Join(f.moves, "\n\t"))
}

// A search goes through all worlds that can be reached, breadth first.
type search struct {
	*explorer
	seen    hashSet
	calm    hashSet // worlds from which all ends well without a fault
	path    []uint64
	deepest int
	moves   int
	trail   []arrival // how each world was reached; nil when it is not kept
	endings bool      // whether it is tested that all ends well
	found   *finding
}

// An arrival is the move that led to a world, from the one of index from.
type arrival struct {
	from int32
	move move
}

// A node is a world with its index in the trail.
type node struct {
	world world
	index int32
}

// explore searches all worlds.
func (e *explorer) explore() *search {
	s := &search{explorer: e, endings: true}
	s.search(nil)
	return s
}

// explain returns a search that finds the shortest history of what goes wrong.
func (e *explorer) explain() *search {
	s := &search{explorer: e}
	for s.found == nil && !s.endings {
		*s = search{explorer: e, endings: s.moves > 0}
		s.search([]arrival{{from: -1}})
	}
	return s
}

func (s *search) search(trail []arrival) {
	first := s.start()
	s.trail = trail
	s.seen.add(s.hash(first))
	level, spare := []node{{world: first}}, []node(nil)
	for ; len(level) > 0 && s.found == nil; s.deepest++ {
		next := spare[:0]
		for _, n := range level {
			if s.visit(n, &next); s.found != nil {
				break
			}
		}
		level, spare = next, level
	}
}

// hash is the same for worlds that differ only in the replicas' numbers.
func (s *search) hash(w world) uint64 { return maphash.Comparable(s.seed, s.canonical(w)) }

// visit adds the worlds after n that are new to next.
func (s *search) visit(n node, next *[]node) {
	if s.endings {
		if wrong, moves := s.ends(n.world); wrong != "" {
			s.report(n.index, moves, wrong)
			return
		}
	}
	s.explorer.moves(n.world, func(m move, w world) {
		s.moves++
		if s.found != nil {
			return
		}
		s.forget(&w)
		if wrong := s.judge(n.world, m, w); wrong != "" {
			s.report(n.index, []move{m}, wrong)
			return
		}
		if !s.seen.add(s.hash(w)) {
			return
		}
		at := node{world: w}
		if s.trail != nil {
			at.index = int32(len(s.trail))
			s.trail = append(s.trail, arrival{n.index, m})
		}
		*next = append(*next, at)
	})
}

// judge returns what is wrong with a move.
func (s *search) judge(before world, m move, after world) string {
	switch {
	case m.wrong != "":
		return m.wrong
	case !m.fault && s.located(before) && !after.revoked && !s.located(after):
		return "the refresh token that the issuer takes is lost, and no fault lost it"
	case after.store.dead && !after.damaged && after.store.gen == after.live && !after.revoked:
		return "the account is dead, and the issuer takes its refresh token"
	}
	return ""
}

// located reports whether the store or a process has the refresh token that the issuer takes.
func (s *search) located(w world) bool {
	if w.revoked {
		return false
	}
	if w.store.gen == w.live && !w.damaged {
		return true
	}
	for i := range s.replicas {
		r := &w.replicas[i]
		if saveState(r.saving) != saveNothing && r.held.gen == w.live ||
			r.at == answered && r.answer == granted && r.work.gen+1 == w.live {
			return true
		}
	}
	return false
}

// ends has all go well from now on, and returns what is wrong with where that leads.
func (s *search) ends(w world) (wrong string, moves []move) {
	s.path = s.path[:0]
	for !s.beyondHelp(w) {
		h := s.hash(w)
		if s.calm.has(h) {
			break
		}
		if slices.Contains(s.path, h) {
			return "the replicas go round in circles", moves
		}
		s.path = append(s.path, h)
		m, next, ok := s.calmMove(w)
		if !ok {
			if wrong = s.final(w); wrong != "" {
				return wrong, moves
			}
			break
		}
		if s.trail != nil {
			moves = append(moves, m)
		}
		if wrong = s.judge(w, m, next); wrong != "" {
			return wrong, moves
		}
		w = next
	}
	for _, h := range s.path {
		s.calm.add(h)
	}
	return "", nil
}

// beyondHelp reports whether the record is damaged and no process puts it back.
func (s *search) beyondHelp(w world) bool {
	for i := range s.replicas {
		if r := &w.replicas[i]; saveState(r.saving) != saveNothing && !r.held.dead {
			return false
		}
	}
	return w.damaged
}

// final returns what is wrong with a world in which nothing happens any more.
func (s *search) final(w world) string {
	if w.excused == 0 && !w.excusedAll && (w.store.dead || w.store.gen != w.live || w.revoked) {
		return "the account does not live, and nothing went wrong that may end it"
	}
	for i := range s.replicas {
		r := &w.replicas[i]
		works := saveState(r.saving) == saveDone && r.held.gen == w.store.gen && r.published == w.store.gen+1 &&
			r.held.gen == goal
		if !works && (!r.dead || !w.store.dead) {
			return fmt.Sprintf("replica %d neither works nor knows that the account is dead", i+1)
		}
	}
	return ""
}

// report keeps a finding, with its history where there is a trail.
func (s *search) report(at int32, last []move, wrong string) {
	s.found = &finding{wrong: wrong}
	if s.trail == nil {
		return
	}
	for ; s.trail[at].from >= 0; at = s.trail[at].from {
		s.found.moves = append(s.found.moves, s.trail[at].move.String())
	}
	slices.Reverse(s.found.moves)
	for _, m := range last {
		s.found.moves = append(s.found.moves, m.String())
	}
}

func (m move) String() string {
	text := m.what
	if m.replica >= 0 {
		text = fmt.Sprintf("replica %d %s", m.replica+1, m.what)
	}
	if m.fault {
		text += " (fault)"
	}
	return text
}

// A hashSet is a set of hashes, with open addressing. Its zero value is empty.
type hashSet struct {
	slots []uint64 // 0 is free
	n     int
}

// add reports whether h was not in the set.
func (s *hashSet) add(h uint64) bool {
	if 2*s.n >= len(s.slots) {
		old := s.slots
		s.slots = make([]uint64, max(1024, 2*len(old)))
		for _, h := range old {
			if h != 0 {
				s.slots[s.find(h)] = h
			}
		}
	}
	h = max(h, 1)
	k := s.find(h)
	if s.slots[k] == h {
		return false
	}
	s.slots[k] = h
	s.n++
	return true
}

func (s *hashSet) has(h uint64) bool {
	return s.n > 0 && s.slots[s.find(max(h, 1))] != 0
}

// find returns the slot of h, or the free one where it belongs.
func (s *hashSet) find(h uint64) int {
	mask := len(s.slots) - 1
	k := int(h) & mask
	for s.slots[k] != 0 && s.slots[k] != h {
		k = (k + 1) & mask
	}
	return k
}
