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
	callers  bool // whether requests are counted by caller
	registry *prometheus.Registry

	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	overhead  *prometheus.HistogramVec
	inFlight  *prometheus.GaugeVec
	replays   *prometheus.CounterVec
	refreshes *prometheus.CounterVec
	refresh   *prometheus.HistogramVec
	failures  *prometheus.CounterVec
	denied    *prometheus.CounterVec
	reloaded  prometheus.Gauge // whether CALLERS_FILE was taken up
	reloadAt  prometheus.Gauge // when it was, last
}

// NewMetrics returns metrics that show the accounts' snapshots as gauges, and the
// lines of the log that were lost.
//
// With callers, requests are counted by caller, too.
func NewMetrics(version string, callers bool, accounts func() []tokens.Status, lostLines func() uint64) *Metrics {
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
	requestLabels := []string{"upstream", "method", "code"}
	if callers {
		requestLabels = append(requestLabels, "caller")
	}
	m := &Metrics{
		callers:  callers,
		registry: prometheus.NewRegistry(),
		requests: counter(
			"requests_total",
			"Requests answered, by upstream, method and status code; 499 when the app left first.",
			requestLabels...,
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
		denied: counter(
			"denied_total",
			"Requests and tokens denied to callers, by the reason; warned is what a rule with warn alone let pass.",
			"caller",
			"reason",
		),
		reloaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: name("callers_last_reload_successful"),
			Help: "Whether CALLERS_FILE, as it is now, is in use.",
		}),
		reloadAt: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: name("callers_last_reload_success_timestamp_seconds"),
			Help: "When CALLERS_FILE was last taken up.",
		}),
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
		m.denied,
		m.reloaded,
		m.reloadAt,
		info,
		newGauges(accounts),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Denied counts what was denied to a caller, which is empty when it is not known.
func (m *Metrics) Denied(caller, reason string) { m.denied.WithLabelValues(caller, reason).Inc() }

// CallersRead notes whether CALLERS_FILE was taken up.
func (m *Metrics) CallersRead(ok bool) {
	if !ok {
		m.reloaded.Set(0)
		return
	}
	m.reloaded.Set(1)
	m.reloadAt.SetToCurrentTime()
}

// Audit adds how many lines of the audit log were lost, and whether they go into a renamed file.
func (m *Metrics) Audit(lost func() uint64, renamed func() bool) {
	m.registry.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "ticketproxy_audit_lost_lines_total",
			Help: "Lines of the audit log that could not be written.",
		}, func() float64 { return float64(lost()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "ticketproxy_audit_renamed_file",
			Help: "1 while the audit log goes on in a file that was renamed, since no other can be opened.",
		}, func() float64 {
			if renamed() {
				return 1
			}
			return 0
		}),
	)
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Upstream returns the observer of the upstream of that name.
func (m *Metrics) Upstream(name string) proxy.Observer {
	u := &upstream{
		callers:  m.callers,
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
	callers            bool
	requests, replays  *prometheus.CounterVec
	duration, overhead prometheus.Observer
	inFlight           prometheus.Gauge
	ended              func(proxy.Exchange) // end
	counters           sync.Map             // exchangeKey to prometheus.Counter: CounterVec's own look-up costs more
}

var _ proxy.Observer = (*upstream)(nil)

type exchangeKey struct {
	caller string
	method string
	status int
}

func (u *upstream) Begin(r *http.Request) (context.Context, func(proxy.Exchange)) {
	u.inFlight.Inc()
	return r.Context(), u.ended
}

func (u *upstream) end(e proxy.Exchange) {
	u.inFlight.Dec()
	key := exchangeKey{e.Caller, known(e.Method), e.Status}
	counter, ok := u.counters.Load(key)
	if !ok {
		counter, _ = u.counters.LoadOrStore(key, u.requests.With(u.labels(key)))
	}
	counter.(prometheus.Counter).Inc()
	u.duration.Observe(e.Took.Seconds())
	u.overhead.Observe(e.Overhead.Seconds())
}

func (u *upstream) labels(key exchangeKey) prometheus.Labels {
	labels := prometheus.Labels{"method": key.method, "code": strconv.Itoa(key.status)}
	if u.callers {
		labels["caller"] = key.caller
	}
	return labels
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
