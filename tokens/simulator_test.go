package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ticketproxy/secret"
	"ticketproxy/tokens"
)

// A history is one run of the simulator: processes with a Refresher each, over
// one store and one issuer, in virtual time, with faults. Its seed determines all of it.
type history struct {
	seed     uint64
	rand     *rand.Rand
	lifetime time.Duration
	takeover time.Duration
	faults   bool          // faults may happen
	deletes  bool          // the record is deleted rather than damaged
	over     chan struct{} // closed at the end, to release crashed processes

	mutant mutant

	reports  sync.Mutex // guards the two below
	problems []string
	seen     map[string]int // how often each event happened

	mu        sync.Mutex
	log       []string
	issuer    *modelIssuer
	down      *downtime // nil while the issuer is up
	disk      *disk
	processes []*node // that run
	all       []*node
}

// problem reports what the protocol must not do.
func (h *history) problem(format string, args ...any) {
	h.reports.Lock()
	defer h.reports.Unlock()
	h.problems = append(h.problems, fmt.Sprintf(format, args...))
}

// count notes that something happened in this history.
func (h *history) count(event string) {
	h.reports.Lock()
	defer h.reports.Unlock()
	h.seen[event]++
}

// note adds a line to the log of the history.
func (h *history) note(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf("%9.3fs ", time.Since(epoch()).Seconds())+fmt.Sprintf(format, args...))
}

// epoch is when every synctest bubble begins.
func epoch() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

// A disk is the store that all processes share, without faults.
type disk struct {
	record      tokens.Record
	version     int
	highest     uint64
	deleted     bool                 // there is no record, until it is put back
	damaged     bool                 // the record cannot be used, until it is put back
	everDamaged bool                 // or deleted, at some time
	gone        map[string]time.Time // when holders have ended
	knowsGone   bool                 // Gone reports these
	versions    []tokens.Version     // all in a row; "" for none
	witnesses   bool                 // Restored tells of these
}

// A modelIssuer knows the true state of every token.
type modelIssuer struct {
	kind       string // "strict", "grace", "revoking", "lenient" or "never"
	serial     int
	refresh    map[string]*modelToken
	access     map[string]*modelToken
	asked      int
	redemption map[string]*redemption
}

type modelToken struct {
	family  int
	spent   bool
	spentAt time.Time
	revoked bool
	expiry  time.Time
}

// A redemption is what came of redeeming a refresh token.
type redemption struct {
	by      *node
	fault   string // what went wrong; if not empty, a second use is allowed
	granted string // the next refresh token
}

const graceWindow = 30 * time.Second

func (c *modelIssuer) seed() secret.String {
	c.serial++
	token := fmt.Sprintf("r%d", c.serial)
	c.refresh[token] = &modelToken{family: c.serial}
	return secret.New(token)
}

// redeemable reports whether the issuer would accept a refresh token.
func (c *modelIssuer) redeemable(token string) bool {
	held := c.refresh[token]
	if held == nil || held.revoked {
		return false
	}
	return !held.spent || c.kind == "never" || c.kind == "grace" && time.Since(held.spentAt) < graceWindow
}

func (c *modelIssuer) good(token string) bool {
	held := c.access[token]
	return held != nil && !held.revoked && time.Now().Before(held.expiry)
}

// A node is one process.
type node struct {
	h         *history
	name      string
	rand      *rand.Rand
	refresher *tokens.Refresher
	cancel    context.CancelFunc
	crashed   atomic.Bool
	paused    bool // for long, within step
	ran       chan struct{}
	spending  *redemption // whose grant is not saved yet
	sending   func()      // what arrives at the store if the process crashes now; or nil
}

// wire is how long what a crashed process has sent may take to the store.
const wire = time.Second

// chance reports whether a fault happens, with a chance of one in so many. Once faults
// have ended, none does.
func (n *node) chance(one int) bool { return n.h.faults && n.rand.IntN(one) == 0 }

// step waits for some time, may pause for long, and may crash the process. It reports
// false when the process has crashed: its caller must do nothing more.
func (n *node) step(where string) bool {
	n.h.mu.Lock()
	wait := time.Duration(n.rand.IntN(20_000_000)) + 1
	if n.chance(60) {
		wait += time.Duration(n.rand.Int64N(int64(3 * n.h.takeover)))
		n.h.note("%s pauses %v %s", n.name, wait, where)
		n.h.count("pause " + where)
		if wait > n.h.takeover/2 {
			n.paused = true
			n.h.blame(n, "pause")
		}
	}
	crash := n.chance(80)
	n.h.mu.Unlock()
	time.Sleep(wait)
	n.h.mu.Lock()
	n.paused = false
	if crash && n.h.faults && !n.crashed.Load() {
		n.h.note("%s crashes %s", n.name, where)
		n.h.count("crash " + where)
		n.crash()
	}
	crashed := n.crashed.Load()
	n.h.mu.Unlock()
	if crashed {
		<-n.h.over
	}
	return !crashed
}

// crash ends the process as kill -9 does. What it has sent may still arrive. The caller
// holds h.mu.
func (n *node) crash() {
	n.crashed.Store(true)
	n.h.disk.gone[n.name] = time.Now()
	n.cancel()
	if n.sending == nil || n.h.disk.everDamaged || n.rand.IntN(2) == 0 {
		n.h.blame(n, "crash")
		return
	}
	n.h.count("write of a crashed process")
	send := n.sending
	time.AfterFunc(time.Duration(n.rand.Int64N(int64(wire))), func() {
		n.h.mu.Lock()
		lost := n.h.disk.everDamaged // a write of before the loss would be an old record or a spent seed
		if lost {
			n.h.blame(n, "crash")
		}
		n.h.mu.Unlock()
		if !lost {
			send()
		}
	})
}

// blame notes what went wrong with a redemption that a process has not saved yet. Once
// the record was damaged, this may be any of its redemptions: the other processes may
// not know of it, and put an older record back.
func (h *history) blame(n *node, fault string) {
	if n.spending != nil {
		n.spending.fault = fault
	}
	for _, r := range h.issuer.redemption {
		if h.disk.everDamaged && r.by == n && r.fault == "" {
			r.fault = fault
		}
	}
}

// damagedVersion is the version of a damaged record.
const damagedVersion tokens.Version = "damaged"

// damage damages or deletes the record, unless the account is dead: any record that is not
// dead replaces a dead one. While a process holds nothing, it is not deleted: the process
// would begin again with its seed.
func (h *history) damage() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.disk.version == 0 || h.disk.deleted || h.disk.record.Dead != nil {
		return
	}
	for _, n := range h.processes {
		if h.deletes && !n.crashed.Load() && n.refresher.Status().Generation == 0 {
			return
		}
	}
	if h.deletes {
		h.note("the record is deleted")
		h.count("deleted record")
		h.disk.deleted = true
		h.disk.versions = append(h.disk.versions, "")
	} else {
		h.note("the record is damaged")
		h.count("damaged record")
		h.disk.damaged = true
	}
	h.disk.everDamaged = true
	for _, n := range h.all {
		if n.crashed.Load() || n.paused { // these put nothing back
			h.blame(n, "absence")
		}
	}
}

var errCrashed = errors.New("this process has crashed")

// Load implements tokens.Store.
func (n *node) Load(ctx context.Context) (tokens.Record, tokens.Version, error) {
	if !n.step("before load") {
		return tokens.Record{}, "", errCrashed
	}
	n.h.mu.Lock()
	defer n.h.mu.Unlock()
	if n.chance(40) {
		if n.h.disk.everDamaged {
			n.h.blame(n, "store")
		}
		n.h.count("store is down before load")
		return tokens.Record{}, "", errors.New("store is down")
	}
	if n.h.disk.damaged {
		return tokens.Record{}, damagedVersion, tokens.ErrDamaged
	}
	if n.h.disk.version == 0 || n.h.disk.deleted {
		return tokens.Record{}, "", tokens.ErrNone
	}
	return n.h.disk.record, tokens.Version(fmt.Sprint(n.h.disk.version)), nil
}

// Swap implements tokens.Store.
func (n *node) Swap(ctx context.Context, old tokens.Version, next tokens.Record) (tokens.Version, error) {
	n.h.mu.Lock()
	n.sending = func() { n.swap(old, next) }
	n.h.mu.Unlock()
	if !n.step("before swap") {
		return "", errCrashed
	}
	version, err := n.swap(old, next)
	if !n.step("after swap") {
		return "", errCrashed
	}
	return version, err
}

func (n *node) swap(old tokens.Version, next tokens.Record) (tokens.Version, error) {
	n.h.mu.Lock()
	defer n.h.mu.Unlock()
	n.sending = nil
	d := n.h.disk
	fail := func(err error) (tokens.Version, error) {
		if d.everDamaged || n.spending != nil && n.spending.fault == "" {
			n.h.blame(n, "store")
		}
		n.h.note("%s: swap to generation %d: %v", n.name, next.Generation, err)
		return "", err
	}
	if n.chance(25) {
		n.h.count("store is down before swap")
		return fail(errors.New("store is down"))
	}
	if n.chance(40) {
		n.h.count("outcome unknown, nothing written")
		return fail(tokens.ErrUnknown)
	}
	now := tokens.Version("")
	if d.version > 0 && !d.deleted {
		now = tokens.Version(fmt.Sprint(d.version))
	}
	if d.damaged && old != damagedVersion {
		return "", tokens.ErrDamaged
	}
	if d.damaged {
		now, d.highest = damagedVersion, next.Generation
	}
	if now != old {
		n.h.count("conflict")
		if n.crashed.Load() && n.h.mutant != mutantGoneEarly {
			n.h.blame(n, "crash") // others have waited for the takeover delay
		}
		if n.h.mutant == mutantClaimsAlways && next.Intent != nil {
			return now, nil
		}
		return "", tokens.ErrConflict
	}
	if n.h.mutant == mutantForgetsGrants && next.Generation > d.record.Generation && n.rand.IntN(3) == 0 {
		return old, nil
	}
	if d.deleted {
		d.highest = next.Generation
	}
	d.damaged, d.deleted = false, false
	if next.Generation < d.highest {
		n.h.problem("%s stored generation %d after %d", n.name, next.Generation, d.highest)
	}
	data, err := next.Encode() // as a store does, so that nothing else survives
	if err != nil {
		n.h.problem("encoding: %v", err)
	}
	d.record, err = tokens.Decode(data)
	if err != nil {
		n.h.problem("decoding: %v", err)
	}
	d.version++
	d.versions = append(d.versions, tokens.Version(fmt.Sprint(d.version)))
	d.highest = max(d.highest, next.Generation)
	if n.spending != nil && n.spending.granted == next.Grant.RefreshToken.Reveal() {
		n.spending = nil
	}
	n.h.note("%s: stored generation %d, intent %v, dead %v", n.name, next.Generation, next.Intent, next.Dead)
	if next.Dead != nil {
		n.h.count("death")
	}
	if n.chance(40) {
		n.h.count("outcome unknown, written")
		return fail(tokens.ErrUnknown)
	}
	return tokens.Version(fmt.Sprint(d.version)), nil
}

// Gone implements tokens.Presence.
func (n *node) Gone(holder string) bool {
	n.h.mu.Lock()
	defer n.h.mu.Unlock()
	ended, ok := n.h.disk.gone[holder]
	return n.h.disk.knowsGone && ok && (time.Since(ended) >= wire || n.h.mutant == mutantGoneEarly)
}

// Restored implements tokens.Witness. It hears of the versions some time later.
func (n *node) Restored(ctx context.Context, lost, next tokens.Version) bool {
	n.h.mu.Lock()
	lag, late := time.Duration(n.rand.Int64N(int64(time.Second))), n.chance(5)
	n.h.mu.Unlock()
	if late {
		<-ctx.Done()
		return false
	}
	time.Sleep(lag)
	n.h.mu.Lock()
	defer n.h.mu.Unlock()
	d := n.h.disk
	for i := 2; d.witnesses && i < len(d.versions); i++ {
		if d.versions[i-1] == "" && d.versions[i] == next && (d.versions[i-2] == lost || n.h.mutant == mutantTrustsLosses) {
			n.h.count("restored record")
			n.h.note("%s: version %s was restored as %s", n.name, lost, next)
			return true
		}
	}
	return false
}

// Refresh implements tokens.Issuer.
func (n *node) Refresh(ctx context.Context, token secret.String) (tokens.Grant, error) {
	began := time.Now()
	if !n.step("before the request") {
		return tokens.Grant{}, errCrashed
	}
	n.h.mu.Lock()
	c := n.h.issuer
	if err := n.h.down.fail(n.rand); err != nil {
		n.h.count("issuer is down")
		n.h.mu.Unlock()
		return tokens.Grant{}, err
	}
	c.asked++
	switch {
	case time.Since(began) > 10*time.Second: // a client whose time is up does not write
		n.h.mu.Unlock()
		return tokens.Grant{}, &tokens.IssuerError{Class: tokens.NotSent, Err: context.DeadlineExceeded}
	case n.chance(20):
		n.h.count("not sent")
		n.h.mu.Unlock()
		return tokens.Grant{}, &tokens.IssuerError{Class: tokens.NotSent, Err: errors.New("refused")}
	case n.chance(20):
		n.h.note("%s: request is lost", n.name)
		n.h.count("lost request")
		n.h.mu.Unlock()
		return tokens.Grant{}, &tokens.IssuerError{Class: tokens.Ambiguous, Err: errors.New("time-out")}
	case n.chance(40):
		n.h.count("throttled")
		n.h.mu.Unlock()
		return tokens.Grant{}, &tokens.IssuerError{Class: tokens.Throttled, Status: 429, RetryAfter: time.Duration(n.rand.IntN(20)) * time.Second}
	case n.chance(80):
		n.h.count("client refused")
		n.h.mu.Unlock()
		return tokens.Grant{}, &tokens.IssuerError{Class: tokens.Refused, Status: 401, Code: "invalid_client"}
	}
	grant, done, err := n.redeem(token.Reveal(), began)
	if n.chance(60) {
		n.h.note("%s: request is duplicated", n.name)
		n.h.count("duplicated request")
		if done != nil {
			done.fault = "duplicate"
		}
		n.redeem(token.Reveal(), began)
	}
	var lost error
	if n.chance(15) {
		lost = &tokens.IssuerError{Class: tokens.Ambiguous, Err: errors.New("reset")}
	} else if n.chance(60) {
		lost = &tokens.IssuerError{Class: tokens.Ambiguous, Status: 500}
	}
	if lost != nil {
		n.h.count("lost answer")
	}
	if lost != nil && done != nil {
		done.fault = "lost answer"
	}
	n.h.mu.Unlock()
	if !n.step("before the answer") {
		return tokens.Grant{}, errCrashed
	}
	if lost != nil {
		n.h.mu.Lock()
		n.h.note("%s: answer is lost: %v", n.name, lost)
		n.spending = nil
		n.h.mu.Unlock()
		return tokens.Grant{}, lost
	}
	return grant, err
}

// redeem is the issuer's side of Refresh. The caller holds h.mu.
func (n *node) redeem(token string, began time.Time) (tokens.Grant, *redemption, error) {
	c := n.h.issuer
	invalid := &tokens.IssuerError{Class: tokens.Invalid, Status: 400, Code: "invalid_grant"}
	held := c.refresh[token]
	if held != nil && held.spent && c.kind != "never" {
		if r := c.redemption[token]; r != nil && r.fault == "" {
			n.h.problem("%s presents %s, which %s redeemed and nothing went wrong", n.name, token, r.by.name)
		}
		if c.kind == "strict" && !held.revoked {
			for _, set := range []map[string]*modelToken{c.refresh, c.access} {
				for _, other := range set {
					other.revoked = other.revoked || other.family == held.family
				}
			}
		}
	}
	if !c.redeemable(token) {
		n.h.note("%s: %s is invalid", n.name, token)
		n.h.count("invalid refresh token")
		return tokens.Grant{}, nil, invalid
	}
	next := token
	done := &redemption{by: n}
	if c.kind != "never" {
		if !held.spent {
			held.spent, held.spentAt = true, time.Now()
		}
		c.serial++
		next = fmt.Sprintf("r%d", c.serial)
		c.refresh[next] = &modelToken{family: held.family}
		if c.redemption[token] != nil { // within the grace window
			done.fault = "several"
		}
		c.redemption[token] = done
	}
	if c.kind == "revoking" {
		for _, a := range c.access {
			a.revoked = a.revoked || a.family == held.family
		}
	}
	done.granted = next
	n.spending = done
	c.serial++
	access := fmt.Sprintf("a%d", c.serial)
	c.access[access] = &modelToken{family: held.family, expiry: time.Now().Add(n.h.lifetime)}
	n.h.note("%s: redeemed %s for %s", n.name, token, next)
	return tokens.Grant{AccessToken: secret.New(access), RefreshToken: secret.New(next), Obtained: began, Expiry: began.Add(n.h.lifetime)}, done, nil
}

// start starts a process. The caller holds h.mu.
func (h *history) start(seed secret.String) *node {
	number := uint64(len(h.all) + 1)
	n := &node{h: h, name: fmt.Sprintf("p%d", number), rand: rand.New(rand.NewPCG(h.seed, number)), ran: make(chan struct{})}
	h.all = append(h.all, n)
	rotation := tokens.RotationSingleUse
	if h.issuer.kind == "never" {
		rotation = tokens.RotationNone
	}
	jitter := rand.New(rand.NewPCG(h.seed, 1000+number))
	var mu sync.Mutex
	n.refresher = tokens.New(tokens.Config{
		Account: "park", Issuer: n, Store: n, Holder: n.name, Seed: constant(seed),
		Rotation: rotation, Grace: h.issuer.kind == "grace", Takeover: h.takeover, Poll: 9 * time.Second,
		Rand: func() float64 {
			mu.Lock()
			defer mu.Unlock()
			return jitter.Float64()
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() {
		defer close(n.ran)
		n.refresher.Run(ctx)
	}()
	h.note("%s starts", n.name)
	return n
}

// A mutant is a mistake that is made in a history on purpose, to check that the history
// finds it.
type mutant int

const (
	mutantNone          mutant = iota
	mutantClaimsAlways         // a process that loses the race for an intent goes on as if it had won
	mutantForgetsGrants        // the store does not store a grant, and reports that it has
	mutantTrustsLosses         // whatever record was lost is taken to be the one that is held
	mutantGoneEarly            // a holder is gone before what it sent has arrived
)

// simulate runs the history of a seed and returns it.
func simulate(t *testing.T, seed uint64, m mutant) (h *history) {
	synctest.Test(t, func(*testing.T) {
		h = &history{seed: seed, rand: rand.New(rand.NewPCG(seed, 0)), faults: true, takeover: 20 * time.Second, over: make(chan struct{}), mutant: m, seen: map[string]int{}}
		h.run()
	})
	return h
}

func (h *history) run() {
	pick := func(all ...time.Duration) time.Duration { return all[h.rand.IntN(len(all))] }
	h.lifetime = pick(10*time.Second, time.Minute, 10*time.Minute)
	kinds := []string{"strict", "grace", "revoking", "lenient", "never"}
	h.issuer = &modelIssuer{kind: kinds[h.rand.IntN(len(kinds))], refresh: map[string]*modelToken{}, access: map[string]*modelToken{}, redemption: map[string]*redemption{}}
	h.disk = &disk{gone: map[string]time.Time{}, knowsGone: h.rand.IntN(2) == 0, witnesses: h.rand.IntN(4) > 0}
	h.deletes = h.rand.IntN(2) == 0 || h.mutant == mutantTrustsLosses
	seed := h.issuer.seed()
	h.mu.Lock()
	for range 1 + h.rand.IntN(3) {
		h.processes = append(h.processes, h.start(seed))
	}
	h.mu.Unlock()

	until := time.Now().Add(min(2*h.lifetime, 3*time.Minute) + time.Duration(h.rand.IntN(60))*time.Second)
	for time.Now().Before(until) {
		time.Sleep(time.Duration(h.rand.Int64N(int64(8*time.Second))) + 1)
		i := h.rand.IntN(len(h.processes))
		if h.processes[i].crashed.Load() || h.rand.IntN(12) == 0 {
			h.restart(i, h.laterSeed(seed))
		}
		if h.rand.IntN(60) == 0 {
			h.damage()
		}
		h.endDowntime()
		if h.rand.IntN(15) == 0 {
			h.mu.Lock()
			if h.down == nil {
				h.down = h.newDowntime(time.Duration(h.rand.IntN(40_000)) * time.Millisecond)
			}
			h.mu.Unlock()
		}
		h.request(h.processes[i], time.Duration(h.rand.IntN(10_000))*time.Millisecond+1)
	}
	h.mu.Lock()
	h.faults, h.down = false, nil
	h.note("faults end")
	h.mu.Unlock()
	for i, n := range h.processes {
		if n.crashed.Load() {
			h.restart(i, h.laterSeed(seed))
		}
	}
	time.Sleep(3 * h.takeover) // the longest pause
	h.settle()
	if h.seed%10 == 0 && h.settled() && h.disk.record.Dead == nil { // this takes as long as the rest
		h.longOutage()
		h.settle()
	}
	h.verdict()
	h.end()
}

// laterSeed returns the seed of a process that is started later. Where records are deleted
// it has none: with the record, the memory of which seeds are spent is deleted.
func (h *history) laterSeed(seed secret.String) secret.String {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.deletes && h.disk.highest > 0 {
		return secret.String{}
	}
	return seed
}

// settle waits until the processes have settled, for twelve minutes at most.
func (h *history) settle() {
	for end := time.Now().Add(12 * time.Minute); !h.settled() && time.Now().Before(end); {
		time.Sleep(10 * time.Second)
	}
}

// restart replaces a process, and crashes it first if it still runs.
func (h *history) restart(i int, seed secret.String) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := h.processes[i]; !n.crashed.Load() {
		h.note("%s is killed", n.name)
		h.count("kill")
		n.crash()
	}
	h.processes[i] = h.start(seed)
}

// request asks a process for a token as an app does, and for another if the API refuses
// it. It checks that no call outlasts its context.
func (h *history) request(n *node, patience time.Duration) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	token, err := n.refresher.Token(ctx)
	if err == nil && !h.accepts(token) {
		token, err = n.refresher.Renew(ctx, token)
	}
	if waited := time.Since(began); waited > patience {
		h.problem("a request waited %v of %v", waited, patience)
	}
	if err == nil && !h.accepts(token) {
		err = errors.New("API refuses the renewed token")
	}
	return err
}

func (h *history) accepts(token tokens.Token) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.issuer.good(token.AccessToken.Reveal())
}

// settled reports whether nothing but refreshes will happen.
func (h *history) settled() bool {
	h.mu.Lock()
	dead := h.disk.record.Dead != nil
	damaged := h.disk.damaged || h.disk.deleted
	h.mu.Unlock()
	if damaged {
		return false
	}
	for _, n := range h.processes {
		s := n.refresher.Status()
		if dead && s.State != tokens.Dead || !dead && s.State != tokens.Ready {
			return false
		}
	}
	return true
}

// verdict checks, after faults have ended, that the account works, or is dead with a true
// reason.
func (h *history) verdict() {
	h.mu.Lock()
	if h.disk.damaged || h.disk.deleted { // the processes that held it have ended: a person must help
		h.mu.Unlock()
		return
	}
	stored := h.disk.record
	truth := h.issuer.redeemable(stored.Grant.RefreshToken.Reveal())
	if stored.Dead != nil && truth {
		h.problem("dead (%s), but the issuer would take %v", stored.Dead.Reason, stored.Grant.RefreshToken.Reveal())
	}
	for token, r := range h.issuer.redemption {
		held := h.issuer.refresh[r.granted]
		if h.issuer.kind != "grace" && !r.by.crashed.Load() && r.by.spending != r && r.fault == "" && !held.spent && !held.revoked && stored.Grant.RefreshToken.Reveal() != r.granted {
			h.problem("grant %s for %s reached %s and is lost", r.granted, token, r.by.name)
		}
	}
	if most := 60 + 40*len(h.processes) + int(time.Since(epoch())/h.lifetime)*6; h.issuer.asked > most {
		h.problem("%d token requests, at most %d were expected", h.issuer.asked, most)
	}
	processes := h.processes
	h.mu.Unlock()
	for _, n := range processes {
		err := h.request(n, 30*time.Second)
		s := n.refresher.Status()
		var dead *tokens.DeadError
		switch {
		case err == nil && s.Usable:
		case errors.As(err, &dead) && h.isDead(): // perhaps only this request has found it out
		default:
			h.problem("%s does not work: %v; status %+v; stored death %v", n.name, err, s, stored.Dead)
		}
	}
}

// isDead reports whether the account is recorded as dead, and rightly so.
func (h *history) isDead() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	stored := h.disk.record
	return stored.Dead != nil && !h.issuer.redeemable(stored.Grant.RefreshToken.Reveal())
}

// end releases crashed processes, and ends every process.
func (h *history) end() {
	close(h.over)
	for _, n := range h.all {
		n.cancel()
		<-n.ran
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if err := n.refresher.Drain(ctx); err != nil && !n.crashed.Load() {
			h.problem("%s: %v", n.name, err)
		}
		cancel()
	}
}
