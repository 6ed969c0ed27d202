// Package httpapi is the HTTP edge: it joins the handlers generated from
// api/openapi.yaml to the rest of the product. A file per tag of the contract
// holds the operations; problem.go alone knows which error is which status, and
// convert.go alone knows both the contract's types and the product's.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"highload.example/analytics/api/binding"
	"highload.example/analytics/gen/api"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/observe"
	"highload.example/analytics/impl/ratelimit"
)

// Ingest takes events.
type Ingest interface {
	Submit(e event.Event) (event.Outcome, error)
	SubmitBatch(events []event.Event, outcomes []event.Outcome, whole bool) error
	Available() bool
}

// Rules are what the contract demands beyond its schemas.
type Rules interface {
	Check(e *event.Event, violations []event.Violation) []event.Violation
}

// Limiter decides whether a client may go on.
type Limiter interface {
	Allow(ctx context.Context, key string, cost int) ratelimit.Decision
}

// Health reports what works.
type Health interface {
	Report() observe.Report
	Phase() observe.Phase
}

// Metrics counts requests.
type Metrics interface {
	RequestStarted()
	RequestDone(route, method string, status int, took time.Duration)
	RequestRefused(reason string) // for want of room; reason is "requests" or "bytes"
	InFlight(load func() (requests, bytes int64))
}

// Config says what the edge works with. All of it is needed but Limiter.
type Config struct {
	Ingest         Ingest
	Rules          Rules
	Questions      Questions
	Limiter        Limiter // nil: no limit
	Health         Health
	Metrics        Metrics
	MetricsHandler http.Handler
	Logger         *slog.Logger
	Version        string
	TrustedProxies []netip.Prefix
	CORSOrigins    []string // origins whose pages may use the service, or "*" for all; none: no CORS

	MaxFutureSkew  time.Duration // what Rules were given, for GET /limits
	RateLimit      int           // what Limiter was given, per minute, for GET /limits; 0: no limit
	MaxBatchEvents int           // events in one request
	MaxBatchBytes  int64         // bytes of its body, before and after decompression

	MaxInFlightRequests int   // requests being worked on at once
	MaxInFlightBytes    int64 // bytes of all requests' bodies at once

	// ValidateResponses checks every answer against the contract, for development.
	ValidateResponses bool
}

// MaxEventBytes bounds one event as JSON, before and after decompression: the
// largest payload and generous room for the rest.
const MaxEventBytes = 128 << 10

// MaxHeaderBytes bounds a request's header.
const MaxHeaderBytes = 32 << 10

// server carries what every operation needs. Each tag's operations are on a
// type of their own, embedded here: together they are the contract's interface.
type server struct {
	eventOperations
	questionOperations
	healthOperations
}

var _ api.StrictServerInterface = (*server)(nil)

// New returns the handler of everything that the contract describes.
func New(config Config) (http.Handler, error) {
	problems, err := newProblems(config.Logger)
	if err != nil {
		return nil, err
	}
	handlers := &server{
		eventOperations:    eventOperations{ingest: config.Ingest, rules: config.Rules, limits: limitsOf(config)},
		questionOperations: questionOperations{questions: config.Questions},
		healthOperations:   healthOperations{health: config.Health, ingest: config.Ingest},
	}
	bodies := &bodies{maxBatchEvents: config.MaxBatchEvents, maxBatchBytes: config.MaxBatchBytes}
	strict := api.NewStrictHandler(handlers, api.StrictOptions{
		Body:  bodies.openBody,
		Batch: bodies.openBatch,
		Rules: func(body any, violations []binding.Violation) []binding.Violation {
			return handlers.checkEvent(body, violations)
		},
		RequestError:  problems.write,
		ResponseError: problems.write,
	})

	routes := newRouter(problems)
	api.HandlerWithOptions(strict, api.StdHTTPServerOptions{
		BaseRouter:       routes,
		ErrorHandlerFunc: problems.write,
	})
	routes.HandleFunc("HEAD /events/export", headExport)
	routes.HandleFunc("GET /metrics", config.MetricsHandler.ServeHTTP)
	if err := registerDocumentation(routes, config.Version, problems); err != nil {
		return nil, err
	}
	routes.complete()

	admission := &admission{
		maxRequests: int64(config.MaxInFlightRequests), maxBytes: config.MaxInFlightBytes, metrics: config.Metrics,
	}
	config.Metrics.InFlight(func() (requests, bytes int64) { return admission.requests.Load(), admission.bytes.Load() })
	var handler http.Handler = &admitted{next: routes, problems: problems}
	if config.Limiter != nil {
		handler = &limit{next: handler, limiter: config.Limiter, clients: newClients(config.TrustedProxies), problems: problems}
	}
	if config.ValidateResponses {
		handler = &responseValidator{next: handler, problems: problems, logger: config.Logger}
	}
	if len(config.CORSOrigins) > 0 {
		if handler, err = newCORS(config.CORSOrigins, routes, handler); err != nil {
			return nil, err
		}
	}
	return &outermost{
		next: handler, problems: problems, metrics: config.Metrics, health: config.Health, logger: config.Logger, admission: admission,
	}, nil
}
