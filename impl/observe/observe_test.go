package observe_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/observe"
	"highload.example/analytics/impl/stats"
	"highload.example/analytics/impl/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func newMetrics() *observe.Metrics {
	return observe.NewMetrics(observe.Build{Version: "1.2.3", GoVersion: "go0", Deployment: "embedded"})
}

func scrape(m *observe.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	m.Queue(func() (int, int) { return 7, 1234 })
	m.RequestStarted()
	m.RequestStarted()
	m.RequestDone("/event", "POST", 202, 3*time.Millisecond)
	m.RequestDone("none", "BREW", 405, time.Millisecond)
	m.EventsDone(event.Accepted, 5)
	m.BatchWritten(5, 2*time.Millisecond)
	m.BatchRetried()
	m.BatchFailed(3)
	m.LimitDecided(true)
	m.LimitDecided(false)
	m.SharedLimitsFailed()
	m.CountAnswered(stats.FromLive)
	m.LiveFailed()
	m.Drift(2)
	m.Drift(0)
	m.LineSuppressed()
	text := scrape(m)
	for _, line := range []string{
		`analytics_build_info{deployment="embedded",go_version="go0",version="1.2.3"} 1`,
		`analytics_http_requests_total{method="POST",route="/event",status="202"} 1`,
		`analytics_http_requests_total{method="other",route="none",status="405"} 1`,
		`analytics_http_requests_in_flight 0`,
		`analytics_http_request_duration_seconds_count{route="/event"} 1`,
		`analytics_events_total{outcome="accepted"} 5`,
		`analytics_events_total{outcome="duplicate"} 0`,
		`analytics_events_total{outcome="rejected"} 0`,
		`analytics_ingest_batch_events_sum 5`,
		`analytics_ingest_commit_duration_seconds_sum 0.002`,
		`analytics_ingest_batch_retries_total 1`,
		`analytics_ingest_batches_failed_total 1`,
		`analytics_ingest_queue_events 7`,
		`analytics_ingest_queue_bytes 1234`,
		`analytics_rate_limit_decisions_total{decision="allowed"} 1`,
		`analytics_rate_limit_decisions_total{decision="limited"} 1`,
		`analytics_rate_limit_shared_failures_total 1`,
		`analytics_counts_answered_total{source="live"} 1`,
		`analytics_live_counts_failures_total 1`,
		`analytics_live_counts_drift_types 0`,
		`analytics_live_counts_drift_types_total 2`,
		`analytics_log_lines_suppressed_total 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
	// Prometheus's conventions: counters end in _total, everything has a help text.
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (analytics_\S+) (\S+)$`).FindAllStringSubmatch(text, -1) {
		if (m[2] == "counter") != strings.HasSuffix(m[1], "_total") {
			t.Errorf("%s is a %s", m[1], m[2])
		}
		if !regexp.MustCompile(`(?m)^# HELP ` + m[1] + ` \S.*\.$`).MatchString(text) {
			t.Errorf("%s has no sentence that explains it", m[1])
		}
	}
}

func TestRepeatedWarningsAreLimited(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var suppressed atomic.Int64
	clock := testkit.NewClock(time.Unix(1690000000, 0))
	logger := observe.NewLogger(observe.LogConfig{
		Level: slog.LevelInfo, Output: &out, Clock: clock.Now, Suppressed: func() { suppressed.Add(1) },
	})
	lines := func() int { return strings.Count(out.String(), "\n") }
	for range 5 {
		logger.Info("fine")
		logger.Debug("nobody wants to know")
	}
	if lines() != 5 {
		t.Errorf("%d lines of information, want 5", lines())
	}
	out.Reset()
	for range 10 {
		logger.Warn("trouble")
		logger.With("a", 1).Warn("trouble")
		logger.WithGroup("g").Error("more trouble")
	}
	if lines() != 2 || suppressed.Load() != 28 {
		t.Errorf("%d suppressed, wrote:\n%s", suppressed.Load(), out.String())
	}
	clock.Advance(time.Second)
	out.Reset()
	logger.Warn("trouble")
	logger.Warn("trouble")
	if lines() != 1 || !strings.Contains(out.String(), "suppressed=19") {
		t.Errorf("wrote:\n%s", out.String())
	}
}

func TestLogsAreJSONOnRequest(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	observe.NewLogger(observe.LogConfig{Level: slog.LevelWarn, JSON: true, Output: &out, Clock: time.Now}).Warn("trouble", "n", 1)
	if !strings.HasPrefix(out.String(), `{"time":`) || !strings.Contains(out.String(), `"msg":"trouble","n":1}`) {
		t.Errorf("wrote %s", out.String())
	}
}

func TestHealthFollowsPhasesAndDependencies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var database, redis atomic.Bool
		database.Store(true)
		redis.Store(true)
		ping := func(up *atomic.Bool) func(context.Context) error {
			return func(ctx context.Context) error {
				if up.Load() {
					return nil
				}
				<-ctx.Done() // it hangs: the others must not wait for it
				return errors.New("no answer")
			}
		}
		metrics := newMetrics()
		health := observe.NewHealth(metrics, slog.New(slog.DiscardHandler),
			observe.Dependency{Name: "database", Required: true, Ping: ping(&database)},
			observe.Dependency{Name: "redis", Ping: ping(&redis)})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			health.Run(ctx)
			close(ended)
		}()
		period := time.NewTicker(3 * time.Second) // virtual time: a few rounds
		defer period.Stop()
		check := func(when string, ready, databaseUp, redisUp bool) {
			t.Helper()
			<-period.C
			synctest.Wait()
			r := health.Report()
			if r.Ready != ready || r.Up["database"] != databaseUp || r.Up["redis"] != redisUp {
				t.Errorf("%s: %+v", when, r)
			}
		}
		check("while starting", false, true, true)
		health.SetPhase(observe.Serving)
		check("while serving", true, true, true)
		redis.Store(false)
		check("without Redis", true, true, false)
		if text := scrape(metrics); !strings.Contains(text, `analytics_dependency_up{dependency="redis"} 0`) || !strings.Contains(text, `analytics_dependency_up{dependency="database"} 1`) {
			t.Error("the metrics don't say so")
		}
		database.Store(false)
		check("without the database", false, false, false)
		database.Store(true)
		redis.Store(true)
		check("when they are back", true, true, true)
		health.SetPhase(observe.Stopping)
		check("while stopping", false, true, true)
		cancel()
		<-ended
	})
}
