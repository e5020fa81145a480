package admin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ticketproxy/tokens"
)

// gauges shows the accounts' snapshots.
type gauges struct {
	accounts func() []tokens.Status

	expiry, refreshExpiry, generation, refusalPause, clockSkew, state *prometheus.Desc
}

func newGauges(accounts func() []tokens.Status) *gauges {
	desc := func(suffix, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("ticketproxy_"+suffix, help, append([]string{"account"}, labels...), nil)
	}
	return &gauges{
		accounts: accounts,
		expiry:   desc("token_expiry_timestamp_seconds", "When the access token expires; absent when not known."),
		refreshExpiry: desc(
			"refresh_token_expiry_timestamp_seconds",
			"When the refresh token expires; absent when not known.",
		),
		generation: desc("token_generation", "How often the account has been rotated."),
		refusalPause: desc(
			"token_refusal_pause_seconds",
			"How old a new access token must be before its refusal by the API causes a refresh; 0 unless fresh tokens "+
				"were refused.",
		),
		clockSkew: desc(
			"clock_skew_seconds",
			"How far the local clock is ahead of the issuer's, to a second or so; absent when not known.",
		),
		state: desc("account_state", "1 for the account's present state.", "state"),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.expiry, g.refreshExpiry, g.generation, g.refusalPause, g.clockSkew, g.state} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, a := range g.accounts() {
		if !a.Expiry.IsZero() {
			gauge(g.expiry, unix(a.Expiry), a.Account)
		}
		if !a.RefreshExpiry.IsZero() {
			gauge(g.refreshExpiry, unix(a.RefreshExpiry), a.Account)
		}
		gauge(g.generation, float64(a.Generation), a.Account)
		gauge(g.refusalPause, a.RefusalPause.Seconds(), a.Account)
		if a.ClockSkew != nil {
			gauge(g.clockSkew, *a.ClockSkew, a.Account)
		}
		for _, state := range tokens.States() {
			value := 0.0
			if state == a.State {
				value = 1
			}
			gauge(g.state, value, a.Account, state)
		}
	}
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }
