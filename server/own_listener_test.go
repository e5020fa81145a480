package server

import (
	"strings"
	"testing"
	"time"
)

// TestOwnListener tests that who reaches a caller's own listener is that caller, and nobody
// else; and that its routes follow the rules.
func TestOwnListener(t *testing.T) {
	const own = "http://127.0.0.1:8083"
	const text = `
callers:
  erp: {listen: 127.0.0.1:8083, may: [{upstream: shop, paths: [/orders]}], rate: {per: minute, requests: 60, burst: 6}}
  shop: {keys: [KEY(shop)], may: [{upstream: park}]}
`
	withGateway(t, text, nil, func(g *gateway) {
		g.expect("", "GET", own+"/shop/orders", 200, "")
		g.expect("shop", "GET", own+"/shop/orders", 200, "") // a key is not looked at
		g.expect("", "GET", own+"/shop/events", 403, "forbidden")
		g.expect("shop", "GET", own+"/park/a", 404, "no_such_upstream")
		g.expect("", "GET", "/shop/orders", 401, "unauthenticated")
		res, body := g.send("", "POST", own+"/shop/token", "client_id=x&client_secret=y", "Content-Type", "application/x-www-form-urlencoded")
		if res.StatusCode != 200 || !strings.Contains(body, `"ticketproxy-placeholder"`) {
			t.Errorf("a token request: %d %s", res.StatusCode, body)
		}
		g.write(strings.Replace(text, "may: [{upstream: shop, paths: [/orders]}]", "may: [{upstream: park}]", 1))
		time.Sleep(reloadTime)
		g.expect("", "GET", own+"/park/a", 200, "")
		g.expect("", "GET", own+"/shop/orders", 404, "no_such_upstream")
		g.wantMetric(`ticketproxy_requests_total{caller="erp",code="200",method="GET",upstream="park"} 1`)
	})
}

// TestChangedOwnListeners tests that a file with other listeners than before is used, that a listener
// serves nobody whom the file does not give it, and that the others are told of until a restart.
func TestChangedOwnListeners(t *testing.T) {
	const own = "http://127.0.0.1:8083"
	const before = `
callers:
  erp: {listen: 127.0.0.1:8083, may: [{upstream: shop}]}
  shop: {keys: [KEY(shop)], may: [{upstream: park}]}
`
	const after = `
callers:
  erp: {listen: 127.0.0.1:8085, may: [{upstream: shop}]}
  other: {listen: 127.0.0.1:8083, may: [{upstream: shop}]}
  shop: {keys: [KEY(new)], may: [{upstream: park}]}
`
	withGateway(t, before, nil, func(g *gateway) {
		g.expect("", "GET", own+"/shop/orders", 200, "")
		s := g.upgradeAt("127.0.0.1:8083", "/shop/socket", "x")
		defer s.Close()
		g.write(after)
		time.Sleep(reloadTime)
		g.expect("new", "GET", "/park/a", 200, "")
		g.expect("shop", "GET", "/park/a", 401, "unauthenticated")
		detail := g.expect("", "GET", own+"/shop/orders", 403, "forbidden")
		if !strings.Contains(detail, "does not give this listener to caller erp any more") {
			t.Errorf("detail %s", detail)
		}
		res, body := g.send("", "POST", own+"/shop/token", "", "Content-Type", "application/x-www-form-urlencoded")
		if res.StatusCode != 403 {
			t.Errorf("a token request: %d %s", res.StatusCode, body)
		}
		g.wantMetric(`ticketproxy_denied_total{caller="",reason="forbidden"} 2`)
		if s.isOpen() {
			t.Error("the WebSocket is open")
		}
		for _, text := range []string{
			"caller erp has no listener at 127.0.0.1:8085 yet", "caller other has no listener at 127.0.0.1:8083 yet",
		} {
			if g.log.FilterMessage(text).Len() != 1 {
				t.Errorf("log %v", g.log.All())
			}
			if status := g.admin("/status"); !strings.Contains(status, text) || !strings.Contains(status, "restart ticketproxy") {
				t.Errorf("status %s", status)
			}
		}
		g.wantMetric("ticketproxy_callers_last_reload_successful 1")
		g.write(before)
		time.Sleep(reloadTime)
		g.expect("", "GET", own+"/shop/orders", 200, "")
		if status := g.admin("/status"); strings.Contains(status, "CALLERS_FILE") {
			t.Errorf("status %s", status)
		}
	})
}
