package admin_test

import (
	"context"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"ticketproxy/admin"
	"ticketproxy/proxy"
	"ticketproxy/tokens"
)

func scrape(t *testing.T, m *admin.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	is(t, "status", w.Code, 200)
	return w.Body.String()
}

// traffic returns metrics with a sample of each kind.
func traffic() *admin.Metrics {
	m := admin.NewMetrics("1.2.3", false, func() []tokens.Status {
		return []tokens.Status{
			{
				Account:       "park",
				State:         tokens.Degraded,
				Usable:        true,
				Generation:    7,
				Expiry:        time.Unix(1900000000, 0),
				RefreshExpiry: time.Unix(2000000000, 500e6),
				RefusalPause:  2500 * time.Millisecond,
				ClockSkew:     new(-63082281600.5), // of a Date in the year 4000
			},
			{Account: "shop", State: tokens.Starting},
		}
	}, func() uint64 { return 3 })
	u := m.Upstream("park")
	begin := func() func(proxy.Exchange) {
		_, end := u.Begin(httptest.NewRequest("GET", "/", nil))
		return end
	}
	begin()(proxy.Exchange{Method: "GET", Status: 200, Took: 30 * time.Millisecond, Overhead: 40 * time.Microsecond})
	begin()(proxy.Exchange{Method: "GET", Status: 200, Took: 20 * time.Second, Overhead: time.Millisecond})
	for _, method := range []string{"BREW", "get", "X-" + strings.Repeat("Y", 100), "CONNECT"} {
		begin()(proxy.Exchange{Method: method, Status: 499})
	}
	begin()
	u.Replayed(context.Background(), "healed")
	a := m.Account("park")
	a.Refreshed("ok", time.Second)
	a.Refreshed("throttled", time.Second)
	a.WriteFailed()
	m.Audit(func() uint64 { return 5 }, func() bool { return true })
	return m
}

func TestEveryMetricIsShown(t *testing.T) {
	t.Parallel()
	text := scrape(t, traffic())
	lines := map[string]bool{}
	for line := range strings.Lines(text) {
		lines[strings.TrimSpace(line)] = true
	}
	for _, want := range []string{
		`ticketproxy_requests_total{code="200",method="GET",upstream="park"} 2`,
		`ticketproxy_requests_total{code="499",method="other",upstream="park"} 4`,
		`ticketproxy_request_duration_seconds_count{upstream="park"} 6`,
		`ticketproxy_request_duration_seconds_bucket{upstream="park",le="0.05"} 5`,
		`ticketproxy_overhead_seconds_count{upstream="park"} 6`,
		`ticketproxy_overhead_seconds_bucket{upstream="park",le="5e-05"} 5`,
		`ticketproxy_requests_in_flight{upstream="park"} 1`,
		`ticketproxy_replays_total{outcome="healed",upstream="park"} 1`,
		`ticketproxy_token_refreshes_total{account="park",result="ok"} 1`,
		`ticketproxy_token_refreshes_total{account="park",result="throttled"} 1`,
		`ticketproxy_token_refresh_duration_seconds_count{account="park"} 2`,
		`ticketproxy_token_expiry_timestamp_seconds{account="park"} 1.9e+09`,
		`ticketproxy_refresh_token_expiry_timestamp_seconds{account="park"} 2.0000000005e+09`,
		`ticketproxy_token_generation{account="park"} 7`,
		`ticketproxy_token_generation{account="shop"} 0`,
		`ticketproxy_log_write_failures_total 3`,
		`ticketproxy_audit_lost_lines_total 5`,
		`ticketproxy_audit_renamed_file 1`,
		`ticketproxy_token_refusal_pause_seconds{account="park"} 2.5`,
		`ticketproxy_clock_skew_seconds{account="park"} -6.30822816005e+10`,
		`ticketproxy_account_state{account="park",state="degraded"} 1`,
		`ticketproxy_account_state{account="park",state="ready"} 0`,
		`ticketproxy_account_state{account="shop",state="starting"} 1`,
		`ticketproxy_state_write_failures_total{account="park"} 1`,
		`ticketproxy_build_info{goversion="` + runtime.Version() + `",version="1.2.3"} 1`,
	} {
		if !lines[want] {
			t.Errorf("missing %s", want)
		}
	}
	for _, name := range []string{"go_goroutines ", "process_cpu_seconds_total "} {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("missing %s", name)
		}
	}
	for _, name := range []string{"token_expiry", "refresh_token_expiry"} { // an unknown expiry is not 0, which is in 1970
		if strings.Contains(text, `ticketproxy_`+name+`_timestamp_seconds{account="shop"}`) {
			t.Errorf("%s is shown for an account that has none", name)
		}
	}
}

func TestAnAccountIsInOneState(t *testing.T) {
	t.Parallel()
	ones := 0
	for line := range strings.Lines(scrape(t, traffic())) {
		if strings.HasPrefix(line, `ticketproxy_account_state{account="park"`) && strings.HasSuffix(line, " 1\n") {
			ones++
		}
	}
	is(t, "states with the value 1", ones, 1)
}

// A counter that appears with its first increment hides that increment from
// rate().
func TestCountersBeginAtZero(t *testing.T) {
	t.Parallel()
	m := admin.NewMetrics("1.2.3", false, func() []tokens.Status { return nil }, func() uint64 { return 0 })
	m.Account("park")
	m.Upstream("park")
	text := scrape(t, m)
	for _, want := range []string{
		`ticketproxy_state_write_failures_total{account="park"} 0`,
		`ticketproxy_requests_in_flight{upstream="park"} 0`,
		`ticketproxy_request_duration_seconds_count{upstream="park"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("missing %s", want)
		}
	}
}

func TestMetricsAreWellNamed(t *testing.T) {
	t.Parallel()
	problems, err := promlint.New(strings.NewReader(scrape(t, traffic()))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "ticketproxy_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}
