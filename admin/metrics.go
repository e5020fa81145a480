package admin

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ticketproxy/proxy"
	"ticketproxy/tokens"
)

// Metrics counts what upstreams and accounts report, and shows it to
// Prometheus. No label is a path, a token or a user.
type Metrics struct {
	registry *prometheus.Registry

	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	overhead  *prometheus.HistogramVec
	inFlight  *prometheus.GaugeVec
	replays   *prometheus.CounterVec
	refreshes *prometheus.CounterVec
	refresh   *prometheus.HistogramVec
	failures  *prometheus.CounterVec
}

// NewMetrics returns metrics that show the accounts' snapshots as gauges, and the
// lines of the log that were lost.
func NewMetrics(version string, accounts func() []tokens.Status, lostLines func() uint64) *Metrics {
	name := func(suffix string) string { return "ticketproxy_" + suffix }
	counter := func(suffix, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name(suffix), Help: help}, labels)
	}
	histogram := func(suffix, help, label string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(
			prometheus.HistogramOpts{Name: name(suffix), Help: help, Buckets: buckets},
			[]string{label},
		)
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: counter(
			"requests_total",
			"Requests answered, by upstream, method and status code; 499 when the app left first.",
			"upstream",
			"method",
			"code",
		),
		duration: histogram(
			"request_duration_seconds",
			"From a request's header to its answer's last byte.",
			"upstream",
			prometheus.DefBuckets,
		),
		overhead: histogram(
			"overhead_seconds",
			"Our own share of the time to the answer's header.",
			"upstream",
			[]float64{25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 50e-3, .25, 1, 5},
		),
		inFlight: prometheus.NewGaugeVec(
			prometheus.GaugeOpts{Name: name("requests_in_flight"), Help: "Requests being served."},
			[]string{"upstream"},
		),
		replays: counter(
			"replays_total",
			"What became of requests whose token the API refused: healed, refused again, failed, unreplayable, or paused "+
				"when no refresh could be made for it yet.",
			"upstream",
			"outcome",
		),
		refreshes: counter(
			"token_refreshes_total",
			"Token requests, by result: ok, or the class of the failure.",
			"account",
			"result",
		),
		refresh: histogram(
			"token_refresh_duration_seconds",
			"Duration of token requests.",
			"account",
			prometheus.DefBuckets,
		),
		failures: counter("state_write_failures_total", "Records that could not be stored.", "account"),
	}
	info := prometheus.NewGaugeVec(
		prometheus.GaugeOpts{Name: name("build_info"), Help: "Always 1."},
		[]string{"version", "goversion"},
	)
	info.WithLabelValues(version, runtime.Version()).Set(1)
	lost := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: name("log_write_failures_total"),
		Help: "Lines of the log that could not be written.",
	}, func() float64 { return float64(lostLines()) })
	m.registry.MustRegister(
		lost,
		m.requests,
		m.duration,
		m.overhead,
		m.inFlight,
		m.replays,
		m.refreshes,
		m.refresh,
		m.failures,
		info,
		newGauges(accounts),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Upstream returns the observer of the upstream of that name.
func (m *Metrics) Upstream(name string) proxy.Observer {
	u := &upstream{
		requests: m.requests.MustCurryWith(prometheus.Labels{"upstream": name}),
		replays:  m.replays.MustCurryWith(prometheus.Labels{"upstream": name}),
		duration: m.duration.WithLabelValues(name),
		overhead: m.overhead.WithLabelValues(name),
		inFlight: m.inFlight.WithLabelValues(name),
	}
	u.ended = u.end // once, because a method's value is allocated
	return u
}

// Account returns the observer of the account of that name.
func (m *Metrics) Account(name string) tokens.Observer {
	return &account{
		refreshes: m.refreshes.MustCurryWith(prometheus.Labels{"account": name}),
		duration:  m.refresh.WithLabelValues(name),
		failures:  m.failures.WithLabelValues(name),
	}
}

type upstream struct {
	requests, replays  *prometheus.CounterVec
	duration, overhead prometheus.Observer
	inFlight           prometheus.Gauge
	ended              func(proxy.Exchange) // end
	counters           sync.Map             // exchangeKey to prometheus.Counter: CounterVec's own look-up costs more
}

var _ proxy.Observer = (*upstream)(nil)

type exchangeKey struct {
	method string
	status int
}

func (u *upstream) Begin(r *http.Request) (context.Context, func(proxy.Exchange)) {
	u.inFlight.Inc()
	return r.Context(), u.ended
}

func (u *upstream) end(e proxy.Exchange) {
	u.inFlight.Dec()
	key := exchangeKey{known(e.Method), e.Status}
	counter, ok := u.counters.Load(key)
	if !ok {
		counter, _ = u.counters.LoadOrStore(key, u.requests.WithLabelValues(key.method, strconv.Itoa(key.status)))
	}
	counter.(prometheus.Counter).Inc()
	u.duration.Observe(e.Took.Seconds())
	u.overhead.Observe(e.Overhead.Seconds())
}

func (u *upstream) Replayed(_ context.Context, outcome string) {
	u.replays.WithLabelValues(outcome).Inc()
}

// known keeps a client from making a time series with each method that it invents.
func known(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

type account struct {
	refreshes *prometheus.CounterVec
	duration  prometheus.Observer
	failures  prometheus.Counter
}

func (a *account) Refreshed(result string, took time.Duration) {
	a.refreshes.WithLabelValues(result).Inc()
	a.duration.Observe(took.Seconds())
}

func (a *account) WriteFailed() { a.failures.Inc() }

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
