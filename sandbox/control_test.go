package sandbox_test

import (
	"strings"
	"testing"

	"ticketproxy/sandbox"
)

func control(method, path, body string) call {
	return call{method, "/_sandbox/" + path, []string{"Content-Type: " + jsonType}, body}
}

func TestControlShowsStateWithoutSecrets(t *testing.T) {
	t.Parallel()
	forEachProvider(t, sandbox.Options{}, func(t *testing.T, p *sandbox.Provider) {
		g := refresh(t, p, p.Seed())
		seed := p.Seed()
		w := answerOf(t, p, 200, control("GET", "", ""))
		s := decoded[struct {
			Provider      string           `json:"provider"`
			ClientID      string           `json:"client_id"`
			TokenPath     string           `json:"token_path"`
			Rotates       bool             `json:"rotates"`
			LivingAccess  int              `json:"living_access_tokens"`
			LivingRefresh int              `json:"living_refresh_tokens"`
			Faults        map[string]any   `json:"faults"`
			Counters      sandbox.Counters `json:"counters"`
		}](t, w)
		if s.Provider != p.Name || s.ClientID != p.ClientID || s.TokenPath != p.TokenPath || s.Rotates != (p.Name != "socialboards") {
			t.Errorf("got %s", w.Body)
		}
		if s.LivingAccess != 1 || s.LivingRefresh != 2 || s.Counters != p.Counters() || s.Counters.Redemptions != 1 || s.Faults["slow_before_commit"] != "0s" {
			t.Errorf("got %s", w.Body)
		}
		for _, secret := range []string{g.AccessToken, g.RefreshToken, seed, p.ClientSecret, p.Password} {
			if secret != "" && strings.Contains(w.Body.String(), secret) {
				t.Errorf("the answer shows a secret: %s", w.Body)
			}
		}
	})
}

func TestControlSetsFaults(t *testing.T) {
	t.Parallel()
	forEachProvider(t, sandbox.Options{}, func(t *testing.T, p *sandbox.Provider) {
		w := answerOf(t, p, 200, control("POST", "faults", `{"throttle":-1,"retry_after":3,"slow_after_commit":"2s"}`))
		wantBody(t, w, `{"slow_before_commit":"0s","slow_after_commit":"2s","retry_after":3,"drop_before_read":0,"throttle":-1,`+
			`"unavailable":0,"redirect":0,"html":0,"drop_after_commit":0,"half_body":0,"api_unauthorized":0}`)
		answerOf(t, p, 200, control("POST", "faults", `{"unavailable":1}`)) // replaces all faults
		answerOf(t, p, 503, refreshCall(p, p.Seed()))
		refresh(t, p, p.Seed())
	})
}

func TestControlRevokesAndSeeds(t *testing.T) {
	t.Parallel()
	forEachProvider(t, sandbox.Options{}, func(t *testing.T, p *sandbox.Provider) {
		w := answerOf(t, p, 200, control("POST", "seed", ""))
		g := refresh(t, p, decoded[grant](t, w).RefreshToken)
		answerOf(t, p, 200, control("POST", "revoke", `{"what":"access"}`))
		mustReject(t, p, g.AccessToken)
		g = refresh(t, p, g.RefreshToken)
		answerOf(t, p, 200, control("POST", "revoke", `{"what":"all"}`))
		mustReject(t, p, g.AccessToken)
		mustRefuseRefresh(t, p, g.RefreshToken)
	})
}

func TestControlRefuses(t *testing.T) {
	t.Parallel()
	p := sandbox.New(sandbox.Options{}).Ticketpark
	for _, x := range []struct {
		name   string
		call   call
		status int
		want   string
	}{
		{"unknown fault", control("POST", "faults", `{"throtle":1}`), 400, `unknown field \"throtle\"`},
		{"no body", control("POST", "faults", ""), 400, "the body is empty"},
		{"two objects", control("POST", "faults", "{}{}"), 400, "data after"},
		{"count below -1", control("POST", "faults", `{"html":-2}`), 400, `\"html\" is -2, below -1`},
		{"negative retry_after", control("POST", "faults", `{"retry_after":-1}`), 400, `\"retry_after\" is -1, below 0`},
		{"bare duration", control("POST", "faults", `{"slow_before_commit":"2"}`), 400, `\"slow_before_commit\" is \"2\"`},
		{"negative duration", control("POST", "faults", `{"slow_after_commit":"-2s"}`), 400, `\"slow_after_commit\" is \"-2s\"`},
		{"unknown revocation", control("POST", "revoke", `{"what":"some"}`), 400, `\"what\" is \"some\"`},
		{"unknown revocation field", control("POST", "revoke", `{"which":"all"}`), 400, `unknown field \"which\"`},
		{"unknown seed field", control("POST", "seed", `{"token":"x"}`), 400, `unknown field \"token\"`},
		{"wrong method", control("GET", "faults", ""), 405, "POST"},
		{"unknown path", control("GET", "fault", ""), 404, "control paths"},
		{"origin", control("GET", "", "").with("Origin: http://127.0.0.1"), 403, "web page"},
		{"null origin", control("POST", "seed", "").with("Origin: null"), 403, "web page"},
		{"cross-site", control("GET", "", "").with("Sec-Fetch-Site: cross-site"), 403, "web page"},
		{"same-site", control("POST", "seed", "").with("Sec-Fetch-Site: same-site"), 403, "web page"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			w := answerOf(t, p, x.status, x.call)
			if !strings.Contains(w.Body.String(), x.want) {
				t.Errorf("got %s, want %s", w.Body, x.want)
			}
		})
	}
	for _, site := range []string{"none", "same-origin"} {
		answerOf(t, p, 200, control("GET", "", "").with("Sec-Fetch-Site: "+site))
	}
}

func TestControlPathsBypassFaultsAndCounters(t *testing.T) {
	t.Parallel()
	p := sandbox.New(sandbox.Options{}).OpenTicket
	p.SetFaults(sandbox.Faults{APIUnauthorized: sandbox.UntilOff, Unavailable: sandbox.UntilOff})
	answerOf(t, p, 200, control("GET", "", ""))
	if c := p.Counters(); c.APIRequests != 0 || c.TokenRequests != 0 {
		t.Errorf("counters: %+v", c)
	}
}
