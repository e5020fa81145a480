package authn

import (
	"net/netip"
	"sync"
	"time"
)

// Failures of an address are counted as two rates. Beyond the first, its failures are
// answered 429. Beyond the second, no signatures are checked for it.
const (
	failureInterval = time.Second
	checkInterval   = 100 * time.Millisecond
	burst           = 20
	maxAddresses    = 4096
	sampled         = 16
)

// failures counts the failed proofs of each address. Safe for concurrent use.
//
// The number of addresses is bounded. Beyond it, a new address replaces that of a few whose
// failures are paid off first. A stranger with very many addresses can have others forgotten,
// and so unlimited. Nobody is limited because of another address.
type failures struct {
	mu        sync.Mutex
	addresses map[netip.Addr]*failed
}

// A failed is an address's debts, as times up to which they are paid (GCRA).
type failed struct{ failures, checks time.Time }

func newFailures() *failures { return &failures{addresses: map[netip.Addr]*failed{}} }

// addressOf returns what is counted as one address: an IPv4 address, or an IPv6 network of
// 64 bits, which one machine often has whole. Peers of Unix sockets count as one.
func addressOf(remote string) netip.Addr {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	address := at.Addr().Unmap()
	if address.Is6() {
		prefix, _ := address.WithZone("").Prefix(64) // 64 fits
		return prefix.Addr()
	}
	return address
}

// mayCheck returns how long it is until a signature may be checked for an address.
func (f *failures) mayCheck(a netip.Addr) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if of := f.addresses[a]; of != nil {
		return over(of.checks, checkInterval)
	}
	return 0
}

// note counts a failure. It returns how long it is until the address may fail again; 0 when
// this one was within its rate.
func (f *failures) note(a netip.Addr, signature bool) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	of := f.addresses[a]
	if of == nil {
		f.makeRoomLocked()
		of = new(failed)
		f.addresses[a] = of
	}
	if signature {
		of.checks = owe(of.checks, checkInterval)
	}
	if wait := over(of.failures, failureInterval); wait > 0 {
		return wait
	}
	of.failures = owe(of.failures, failureInterval)
	return 0
}

// over returns how far a debt is above the burst.
func over(debt time.Time, interval time.Duration) time.Duration {
	return max(max(time.Until(debt), 0)-(burst-1)*interval, 0)
}

// owe returns a debt with one failure more.
func owe(debt time.Time, interval time.Duration) time.Time {
	if now := time.Now(); debt.Before(now) {
		debt = now
	}
	return debt.Add(interval)
}

// makeRoomLocked forgets the address with the oldest debts of a few.
func (f *failures) makeRoomLocked() {
	if len(f.addresses) < maxAddresses {
		return
	}
	var oldest netip.Addr
	var debt *failed
	looked := 0
	for a, of := range f.addresses { // in random order
		if debt == nil || of.failures.Before(debt.failures) {
			oldest, debt = a, of
		}
		if looked++; looked == sampled {
			break
		}
	}
	delete(f.addresses, oldest)
}
