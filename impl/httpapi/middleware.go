package httpapi

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"highload.example/analytics/impl/observe"
	"highload.example/analytics/impl/ratelimit"
)

// outermost measures and logs every request, answers for handlers that panic, and
// gives back what the request took.
type outermost struct {
	next      http.Handler
	problems  *problems
	metrics   Metrics
	health    Health
	logger    *slog.Logger
	admission *admission
}

// ServeHTTP serves the request.
func (o *outermost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	o.metrics.RequestStarted()
	recorder := &recorder{ResponseWriter: w, ticket: ticket{admission: o.admission}}
	if o.health.Phase() == observe.Stopping {
		// The client closes the connection after this answer, so that none is
		// left to be cut when the listener closes.
		w.Header().Set("Connection", "close")
	}
	defer func() {
		value := recover()
		recorder.ticket.release()
		abort := false
		if value != nil {
			if err, ok := value.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				abort = true
			} else {
				o.logger.Error("a handler panicked", "route", r.Pattern, "panic", value, "stack", string(debug.Stack()))
				if recorder.status == 0 {
					o.problems.write(recorder, r, &panicError{value: value})
				} else {
					abort = true // half an answer is out: cut the connection, so that it isn't taken for a whole one
				}
			}
		}
		route := "none"
		if _, pattern, ok := strings.Cut(r.Pattern, " "); ok {
			route = pattern
		}
		took := time.Since(started)
		o.metrics.RequestDone(route, r.Method, recorder.status, took)
		if o.logger.Enabled(r.Context(), slog.LevelDebug) {
			o.logger.LogAttrs(r.Context(), slog.LevelDebug, "request",
				slog.String("method", r.Method), slog.String("route", route), slog.Int("status", recorder.status), slog.String("took", took.String()))
		}
		if abort {
			panic(http.ErrAbortHandler)
		}
	}()
	o.next.ServeHTTP(recorder, r)
}

// recorder remembers the status, and what the request takes.
type recorder struct {
	http.ResponseWriter
	status int
	ticket ticket
}

// WriteHeader remembers the status and passes it on.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write passes on; without a WriteHeader before it means 200.
func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// limit applies the rate limit before anything of the body is read.
type limit struct {
	next     http.Handler
	limiter  Limiter
	clients  *clients
	problems *problems
	policy   atomic.Pointer[policyField]
}

// policyField is the field RateLimit-Policy of the policy in force: mostly the same
// for every answer.
type policyField struct {
	quota  int
	window time.Duration
	values []string
}

func (l *limit) policyValues(decision ratelimit.Decision) []string {
	held := l.policy.Load()
	if held == nil || held.quota != decision.Quota || held.window != decision.Window {
		held = &policyField{quota: decision.Quota, window: decision.Window, values: []string{decision.PolicyField()}}
		l.policy.Store(held)
	}
	return held.values
}

// The canonical forms of RateLimit-Policy and RateLimit. Header.Set would work them
// out for every answer.
const (
	policyHeader = "Ratelimit-Policy"
	limitHeader  = "Ratelimit"
)

// ServeHTTP lets the request through, or answers 429.
func (l *limit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if exempt(r.URL.Path) {
		l.next.ServeHTTP(w, r)
		return
	}
	decision := l.limiter.Allow(r.Context(), l.clients.key(r), 1)
	header := w.Header()
	header[policyHeader] = l.policyValues(decision)
	header[limitHeader] = []string{decision.LimitField()}
	if !decision.Allowed {
		l.problems.write(w, r, &limitedError{retryAfter: decision.RetryAfterSeconds()})
		return
	}
	l.next.ServeHTTP(w, r)
}

// exempt says which paths the limit leaves alone: probes must not fail because
// somebody behind the same address is busy, and who hit the limit should be able
// to read why.
func exempt(path string) bool {
	switch path {
	case "/", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.yaml", "/openapi.json", "/problems":
		return true
	}
	return strings.HasPrefix(path, "/docs/") || strings.HasPrefix(path, "/problems/")
}
