// Package observe is what operators see: metrics, logs and health.
package observe

import (
	"errors"
	"maps"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/query"
	"highload.example/analytics/impl/stats"
)

// Metrics are the process's metrics in Prometheus's conventions: base units, a
// _total suffix on counters, and labels whose values are few and known.
type Metrics struct {
	registry *prometheus.Registry

	requests        *prometheus.CounterVec
	requestDuration *prometheus.HistogramVec
	requestSeries   atomic.Pointer[map[requestKey]requestSeries] // those seen so far
	inFlight        prometheus.Gauge
	refused         *prometheus.CounterVec

	events          *prometheus.CounterVec
	batchSize       prometheus.Histogram
	commitDuration  prometheus.Histogram
	batchRetries    prometheus.Counter
	batchesFailed   prometheus.Counter
	allowed         prometheus.Counter
	limited         prometheus.Counter
	limitFailures   prometheus.Counter
	countsAnswered  *prometheus.CounterVec
	liveFailures    prometheus.Counter
	drift           prometheus.Gauge
	driftTotal      prometheus.Counter
	questions       *prometheus.CounterVec
	questionSeconds *prometheus.HistogramVec
	dependencyUp    *prometheus.GaugeVec
	countsFolded    prometheus.Counter
	upkeepFailures  prometheus.Counter
	suppressedLines prometheus.Counter
}

// Build says what is running.
type Build struct {
	Version    string
	GoVersion  string
	Deployment string // "embedded", "replica" or "single replica"
}

// NewMetrics returns metrics with a registry of their own.
func NewMetrics(build Build) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		m.registry.MustRegister(g)
		return g
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
		m.registry.MustRegister(h)
		return h
	}
	durations := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

	m.requests = counters("analytics_http_requests_total", "Requests by route, method and status; route is none where no route matched.", "route", "method", "status")
	m.requestDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "analytics_http_request_duration_seconds", Help: "From the end of a request's header to the end of its answer.", Buckets: durations,
	}, []string{"route"})
	m.registry.MustRegister(m.requestDuration)
	m.inFlight = gauge("analytics_http_requests_in_flight", "Requests being answered.")

	m.refused = counters("analytics_http_requests_refused_total", "Requests refused with 503 for want of room, by what was used up: requests (being worked on) or bytes (of bodies).", "reason")

	m.events = counters("analytics_events_total", "Events by outcome: accepted (stored now), duplicate (stored before), rejected (can't be stored).", "outcome")
	m.batchSize = histogram("analytics_ingest_batch_events", "Events per transaction.", []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000})
	m.commitDuration = histogram("analytics_ingest_commit_duration_seconds", "From handing a batch to the database to its commit, retries included.", durations)
	m.batchRetries = counter("analytics_ingest_batch_retries_total", "Tries of a batch that the database didn't take and that were, or will be, repeated.")
	m.batchesFailed = counter("analytics_ingest_batches_failed_total", "Batches given up; their senders were told to retry.")

	limitDecisions := counters("analytics_rate_limit_decisions_total", "Decisions of the rate limit: allowed or limited.", "decision")
	m.limitFailures = counter("analytics_rate_limit_shared_failures_total", "Times that the shared limit didn't answer and the replica's own took over.")
	m.countsAnswered = counters("analytics_counts_answered_total", "Counts by source: live (Redis or memory) or record (the database).", "source")
	m.liveFailures = counter("analytics_live_counts_failures_total", "Calls to the live counts that failed.")
	m.drift = gauge("analytics_live_counts_drift_types", "Event types whose live count differed from the database in the last round of reconciliation.")
	m.driftTotal = counter("analytics_live_counts_drift_types_total", "Event types whose live count was put right by reconciliation.")
	m.questions = counters("analytics_questions_total", "Questions by operation, by the plan of the answer, and by result: ok, too_expensive, busy or failed.", "operation", "plan", "result")
	m.questionSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "analytics_question_duration_seconds", Help: "How long questions took, waiting for their turn included.", Buckets: durations,
	}, []string{"operation", "plan"})
	m.registry.MustRegister(m.questionSeconds)
	m.dependencyUp = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "analytics_dependency_up", Help: "1 while the dependency answers, else 0."}, []string{"dependency"})
	m.registry.MustRegister(m.dependencyUp)
	m.countsFolded = counter("analytics_upkeep_counts_folded_total", "Rows of counts per minute that became part of a day's.")
	m.upkeepFailures = counter("analytics_upkeep_failures_total", "Rounds of upkeep (partitions ahead, folding) that failed and were put off.")
	m.suppressedLines = counter("analytics_log_lines_suppressed_total", "Warnings and errors that were not logged because the same one was, a moment ago.")

	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "analytics_build_info", Help: "What is running; always 1."}, []string{"version", "go_version", "deployment"})
	info.WithLabelValues(build.Version, build.GoVersion, build.Deployment).Set(1)
	m.registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	// Series that exist from the start can be alerted on before anything happens.
	for _, o := range []event.Outcome{event.Accepted, event.Duplicate, event.Rejected} {
		m.events.WithLabelValues(o.String())
	}
	m.refused.WithLabelValues("requests")
	m.refused.WithLabelValues("bytes")
	m.allowed = limitDecisions.WithLabelValues("allowed")
	m.limited = limitDecisions.WithLabelValues("limited")
	m.countsAnswered.WithLabelValues(string(stats.FromLive))
	m.countsAnswered.WithLabelValues(string(stats.FromRecord))
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Queue registers what waits to be stored. load returns events and bytes.
func (m *Metrics) Queue(load func() (items, bytes int)) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "analytics_ingest_queue_events", Help: "Events that wait to be stored or are being stored."},
			func() float64 { items, _ := load(); return float64(items) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "analytics_ingest_queue_bytes", Help: "Memory charged to events that wait to be stored or are being stored, in bytes."},
			func() float64 { _, bytes := load(); return float64(bytes) }),
	)
}

// InFlight registers what requests take. load returns how many are being worked
// on, and the bytes of all bodies.
func (m *Metrics) InFlight(load func() (requests, bytes int64)) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "analytics_http_requests_admitted", Help: "Requests being worked on: those whose body is there."},
			func() float64 { requests, _ := load(); return float64(requests) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "analytics_http_body_bytes", Help: "Bytes of the bodies of all requests under way."},
			func() float64 { _, bytes := load(); return float64(bytes) }),
	)
}

// RequestRefused counts a request that was refused for want of room.
func (m *Metrics) RequestRefused(reason string) { m.refused.WithLabelValues(reason).Inc() }

// RequestStarted counts a request in.
func (m *Metrics) RequestStarted() { m.inFlight.Inc() }

// RequestDone counts a request out. route is the pattern that matched, or "none".
func (m *Metrics) RequestDone(route, method string, status int, took time.Duration) {
	m.inFlight.Dec()
	series := m.requestSeriesOf(requestKey{route: route, method: method, status: status})
	series.count.Inc()
	series.duration.Observe(took.Seconds())
}

// requestKey names the series of a request.
type requestKey struct {
	route, method string
	status        int
}

// requestSeries are the series that a request is counted in.
type requestSeries struct {
	count    prometheus.Counter
	duration prometheus.Observer
}

// requestSeriesOf finds the series. The Prometheus client would put the labels
// together for every request; there are few series, and what there is hardly
// changes, so that a map that is copied to be changed is enough.
func (m *Metrics) requestSeriesOf(key requestKey) requestSeries {
	key.method = knownMethod(key.method)
	for {
		held := m.requestSeries.Load()
		if held != nil {
			if series, ok := (*held)[key]; ok {
				return series
			}
		}
		series := requestSeries{
			count:    m.requests.WithLabelValues(key.route, key.method, strconv.Itoa(key.status)),
			duration: m.requestDuration.WithLabelValues(key.route),
		}
		grown := map[requestKey]requestSeries{key: series}
		if held != nil {
			maps.Copy(grown, *held)
		}
		if m.requestSeries.CompareAndSwap(held, &grown) {
			return series
		}
	}
}

// knownMethod keeps made-up methods from making series.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// EventsDone implements ingest.Observer.
func (m *Metrics) EventsDone(outcome event.Outcome, n int) {
	m.events.WithLabelValues(outcome.String()).Add(float64(n))
}

// BatchWritten implements ingest.Observer.
func (m *Metrics) BatchWritten(size int, took time.Duration) {
	m.batchSize.Observe(float64(size))
	m.commitDuration.Observe(took.Seconds())
}

// BatchRetried implements ingest.Observer.
func (m *Metrics) BatchRetried() { m.batchRetries.Inc() }

// BatchFailed implements ingest.Observer.
func (m *Metrics) BatchFailed(int) { m.batchesFailed.Inc() }

// CountAnswered implements stats.Observer.
func (m *Metrics) CountAnswered(source stats.Source) {
	m.countsAnswered.WithLabelValues(string(source)).Inc()
}

// LiveFailed implements stats.Observer.
func (m *Metrics) LiveFailed() { m.liveFailures.Inc() }

// Drift implements stats.Observer.
func (m *Metrics) Drift(types int) {
	m.drift.Set(float64(types))
	m.driftTotal.Add(float64(types))
}

// LimitDecided implements ratelimit.Observer.
func (m *Metrics) LimitDecided(allowed bool) {
	if allowed {
		m.allowed.Inc()
	} else {
		m.limited.Inc()
	}
}

// SharedLimitsFailed implements ratelimit.Observer.
func (m *Metrics) SharedLimitsFailed() { m.limitFailures.Inc() }

// CountsFolded implements upkeep.Observer.
func (m *Metrics) CountsFolded(rows int) { m.countsFolded.Add(float64(rows)) }

// UpkeepFailed implements upkeep.Observer.
func (m *Metrics) UpkeepFailed() { m.upkeepFailures.Inc() }

// QuestionAnswered implements query.Observer.
func (m *Metrics) QuestionAnswered(operation string, plan query.Plan, took time.Duration, err error) {
	result := "ok"
	switch {
	case errors.Is(err, query.ErrTooExpensive):
		result = "too_expensive"
	case errors.Is(err, event.ErrBusy):
		result = "busy"
	case err != nil:
		result = "failed"
	}
	m.questions.WithLabelValues(operation, string(plan), result).Inc()
	m.questionSeconds.WithLabelValues(operation, string(plan)).Observe(took.Seconds())
}

// LineSuppressed counts a log line that was left out.
func (m *Metrics) LineSuppressed() { m.suppressedLines.Inc() }
