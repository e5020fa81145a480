package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

const (
	rateTime    = 10 * time.Second
	rateClients = 200
)

// TestCallersRate tests that the rate of a caller holds within 5 % under very many requests at
// once, and the limit of an account over three callers, too. It counts answers.
func TestCallersRate(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"of a caller": `
callers:
  shop: {keys: [KEY(shop)], may: [{upstream: own}], rate: {per: second, requests: 20, burst: 20}}
`,
		"of an account": `
callers:
  shop:   {keys: [KEY(shop)], may: [{upstream: own}]}
  erp:    {keys: [KEY(erp)], may: [{upstream: own}]}
  report: {keys: [KEY(report)], may: [{upstream: own}]}
limits:
  ticketpark: {per: second, requests: 20, burst: 20}
`,
	} {
		t.Run(name, func(t *testing.T) {
			f := newCallersFixture(t, text)
			f.start()
			f.awaitAllUsable(30 * time.Second)
			var all []*caller
			for name, key := range f.keys {
				all = append(all, newCaller(name, "http://"+f.address, "Bearer "+key))
			}
			var loads []func(int)
			for n := range rateClients {
				c := all[n%len(all)]
				loads = append(loads, func(i int) {
					a, err := c.send(http.MethodGet, fmt.Sprintf("/%d/%d", n, i))
					if err != nil || a.status != 200 && (a.status != 429 || a.code != "rate_limited") {
						t.Errorf("%s: %+v, %v", c.name, a, err)
					}
				})
			}
			began := time.Now()
			during(rateTime, 50*time.Millisecond, loads...)
			took := time.Since(began)
			served, refused := 0, 0
			for _, c := range all {
				n := c.count(200, "")
				served, refused = served+n, refused+c.count(429, "rate_limited")
				if n < 20 {
					t.Errorf("%s had %d of the answers", c.name, n)
				}
			}
			want := 20 + 20*took.Seconds()
			if float64(served) < want*0.95 || float64(served) > want*1.05 || len(f.passed) != served {
				t.Errorf("%d served in %v, want about %.0f; the API got %d", served, took, want, len(f.passed))
			}
			t.Logf("%d served and %d refused in %v, %.0f expected", served, refused, took, want)
		})
	}
}

// TestRevokedKey revokes a caller's key under load: no request passes that was sent two seconds
// after the change of the file, and none of another caller fails.
func TestRevokedKey(t *testing.T) {
	t.Parallel()
	const stays = "callers:\n  erp: {keys: [KEY(erp)], may: [{upstream: own}]}\n"
	f := newCallersFixture(t, stays+"  shop: {keys: [KEY(shop)], may: [{upstream: own}]}\n")
	f.start()
	f.awaitAllUsable(30 * time.Second)
	shop := newCaller("shop", "http://"+f.address, "Bearer "+f.keys["shop"])
	erp := newCaller("erp", "http://"+f.address, "Bearer "+f.keys["erp"])
	var mu sync.Mutex
	var revoked, last time.Time // when the file was changed, and when the last request was sent that passed
	load := func(i int) {
		at := time.Now()
		a, err := shop.send(http.MethodGet, fmt.Sprintf("/shop/%d", i))
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil && a.status == 200 && at.After(last):
			last = at
		case err == nil && a.status == 200 || !revoked.IsZero() && (a.status == 401 || a.status == 429):
		default:
			t.Errorf("shop: %+v, %v", a, err)
		}
	}
	loads := []func(int){
		allowed(t, erp, http.MethodGet, "/erp/a/%d", 200, ""),
		allowed(t, erp, http.MethodGet, "/erp/b/%d", 200, ""),
		load, load, load,
		func(i int) {
			time.Sleep(2 * time.Second)
			if i != 0 {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			f.write(stays)
			revoked = time.Now()
		},
	}
	during(7*time.Second, 2*time.Millisecond, loads...)
	if last.After(revoked.Add(2*time.Second)) || shop.count(200, "") == 0 || shop.count(401, "unauthenticated") == 0 {
		t.Errorf("a revoked key passed %v after the change; answers %v", last.Sub(revoked), shop.answers)
	}
	t.Logf("the key passed until %v after the change; erp had %v", last.Sub(revoked), erp.answers)
}
