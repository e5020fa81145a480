package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// TestTokensCountToTheRate tests that tokens count to the rate of their caller, and that a
// placeholder buys none.
func TestTokensCountToTheRate(t *testing.T) {
	const text = `
callers:
  report: {keys: [KEY(report)], tokens: [park], may: [{upstream: park}], rate: {per: minute, requests: 3, burst: 3}}
`
	withGateway(t, text, []string{"TICKETPROXY_TOKEN_LISTEN=" + gatewayTokens}, func(g *gateway) {
		const url = "http://" + gatewayTokens + "/token/park"
		key := []string{"Ticketproxy-Request", "true", "Authorization", "Bearer " + g.key("report")}
		form := "grant_type=client_credentials&client_id=report&client_secret=" + g.key("report")
		_, body := g.send("", http.MethodPost, "/park/token", form, "Content-Type", formType)
		var stub struct {
			Token string `json:"access_token"`
		}
		if json.Unmarshal([]byte(body), &stub) != nil || !strings.HasPrefix(stub.Token, "tpp_") {
			t.Fatalf("the stub gave %s", body)
		}
		res, body := g.send("", http.MethodGet, url, "", "Ticketproxy-Request", "true", "Authorization", "Bearer "+stub.Token)
		if res.StatusCode != http.StatusForbidden || !strings.Contains(body, "a placeholder is no proof here") {
			t.Errorf("with a placeholder: %d %s", res.StatusCode, body)
		}
		for i, want := range []int{200, 200, 429} { // the stub took the first
			if res, body := g.send("", http.MethodGet, url, "", key...); res.StatusCode != want {
				t.Errorf("token %d: %d %s, want %d", i, res.StatusCode, body, want)
			}
		}
		res, body = g.send("", http.MethodPost, "/park/token", form, "Content-Type", formType)
		if res.StatusCode != http.StatusTooManyRequests || !strings.Contains(body, `"error":"temporarily_unavailable"`) {
			t.Errorf("the stub, over the rate: %d %s", res.StatusCode, body)
		}
		lines := g.stdout.lines(t)
		if last := lines[len(lines)-1]; last["user.name"] != "report" || last["error.code"] != "rate_limited" {
			t.Errorf("line of a token request over the rate: %v", last)
		}
		g.expect("report", "GET", "/park/a", 429, "rate_limited")
	})
}

// TestTokenListenerOfCallers tests that tokens are handed out to callers with tokens: alone,
// with a line of the audit log for each request.
func TestTokenListenerOfCallers(t *testing.T) {
	const text = `
callers:
  report: {keys: [KEY(report)], tokens: [park]}
  shop:   {keys: [KEY(shop)], may: [{upstream: "*"}]}
`
	withGateway(t, text, []string{"TICKETPROXY_TOKEN_LISTEN=" + gatewayTokens}, func(g *gateway) {
		const url = "http://" + gatewayTokens + "/token/"
		form := "grant_type=client_credentials&client_id=report&client_secret=" + g.key("report")
		for name, tt := range map[string]struct {
			method, account, body string
			header                []string
			status                int
			audit                 string // error.code, and the caller
		}{
			"form":            {"POST", "park", form, []string{"Content-Type", formType}, 200, " report"},
			"Basic":           {"POST", "park", "grant_type=client_credentials", []string{"Content-Type", formType, "Authorization", basicOf("report", g.key("report"))}, 200, " report"},
			"curl":            {"GET", "park", "", []string{"Ticketproxy-Request", "true", "Authorization", "Bearer " + g.key("report")}, 200, " report"},
			"another account": {"POST", "shop", form, []string{"Content-Type", formType}, 403, "forbidden report"},
			"no account":      {"POST", "none", form, []string{"Content-Type", formType}, 403, "forbidden report"},
			"a caller without tokens": {"GET", "park", "", []string{"Ticketproxy-Request", "true", "Authorization", "Bearer " + g.key("shop")},
				403, "forbidden shop"},
			"a stranger":    {"GET", "park", "", []string{"Ticketproxy-Request", "true"}, 401, "unauthenticated "},
			"a web page":    {"POST", "park", form, []string{"Content-Type", formType, "Origin", "http://127.0.0.1:8084"}, 403, "cross_site "},
			"through a hop": {"POST", "park", form, []string{"Content-Type", formType, "Via", "1.1 x"}, 403, "forbidden "},
		} {
			written := len(g.stdout.lines(t))
			res, body := g.send("", tt.method, url+tt.account, tt.body, tt.header...)
			var answer struct {
				Token string `json:"access_token"`
			}
			json.Unmarshal([]byte(body), &answer)
			if res.StatusCode != tt.status || (answer.Token == "access-token") != (tt.status == 200) {
				t.Errorf("%s: %d %s", name, res.StatusCode, body)
			}
			lines := g.stdout.lines(t)[written:]
			if len(lines) != 1 {
				t.Fatalf("%s: %d lines", name, len(lines))
			}
			code, _ := lines[0]["error.code"].(string)
			caller, _ := lines[0]["user.name"].(string)
			if code+" "+caller != tt.audit || lines[0]["event.action"] != "token" ||
				lines[0]["http.response.status_code"] != float64(tt.status) {
				t.Errorf("%s: line %v, want %q", name, lines[0], tt.audit)
			}
		}
		g.wantMetric(`ticketproxy_denied_total{caller="shop",reason="tokens"} 1`)
		if text := g.admin("/metrics"); strings.Contains(text, `reason="tokens",`) {
			t.Errorf("metrics %s", text)
		}
		if res, _ := g.ask("report", http.MethodGet, "/park/a"); res.StatusCode != 403 {
			t.Errorf("a caller that has tokens alone: %d", res.StatusCode)
		}
	})
}
