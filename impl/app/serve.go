package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"highload.example/analytics/impl/backend/memory"
	"highload.example/analytics/impl/config"
	"highload.example/analytics/impl/failpoint"
	"highload.example/analytics/impl/httpapi"
	"highload.example/analytics/impl/ingest"
	"highload.example/analytics/impl/observe"
	"highload.example/analytics/impl/query"
	"highload.example/analytics/impl/ratelimit"
	"highload.example/analytics/impl/stats"
	"highload.example/analytics/impl/upkeep"
)

// headerTimeout is how long a client may take to send a request's header.
const headerTimeout = 5 * time.Second

// maxClients bounds how many clients' allowances are held in process.
const maxClients = 100_000

// ballast makes the collector wait for more garbage. It runs when the heap has
// grown by as much as was live, which on a service that keeps little and makes much
// is many times a second. The ballast counts as live and is never touched, so that
// it takes addresses and no memory. Unlike a higher GOGC it changes little once
// much is live: then there is no memory to be generous with.
var ballast = make([]byte, 32<<20)

// serve runs the server until a signal, and returns the exit code.
func (p *process) serve(settings *config.Settings) int {
	c, err := settings.Resolve()
	if err != nil {
		return p.fail(exitFailure, err)
	}
	ctx, cancel := p.interruptible()
	defer cancel()

	// The port first: whoever started a second server by mistake should hear
	// that, and not wait for a database.
	listener, err := listen(ctx, c.Addr)
	if err != nil {
		return p.fail(exitFailure, fmt.Errorf("ADDR: can't listen on %s: %w", c.Addr, rootCause(err)))
	}
	s, err := newServer(ctx, p, c, listener)
	if err != nil {
		_ = listener.Close() // the error that matters is the other one
		listener.release()
		if ctx.Err() != nil {
			return p.fail(exitFailure, errors.New("interrupted before the start was complete"))
		}
		return p.fail(exitFailure, err)
	}
	cancel() // from here on signals are the server's
	code := s.run(p)
	runtime.KeepAlive(ballast)
	return code
}

// rootCause drops the address that net's errors repeat.
func rootCause(err error) error {
	var system syscall.Errno
	if errors.As(err, &system) {
		return system
	}
	return err
}

// server is everything that runs.
type server struct {
	config     *config.Config
	logger     *slog.Logger
	deployment *deployment
	health     *observe.Health
	ingest     *ingest.Service
	http       *http.Server
	listener   *drainable
	profiler   *profiler // nil: off
	background sync.WaitGroup
	stopLoops  context.CancelFunc
}

// newServer builds the parts, innermost first. Nothing serves yet.
func newServer(ctx context.Context, p *process, c *config.Config, listener *drainable) (*server, error) {
	var metrics *observe.Metrics // made below: its labels want the deployment's name
	logger := newLogger(c, p.stderr, func() { metrics.LineSuppressed() })
	name := deploymentName(c)
	metrics = observe.NewMetrics(observe.Build{Version: p.version, GoVersion: runtime.Version(), Deployment: name})
	logger.Info("starting analytics", "version", p.version, "go", runtime.Version(), "deployment", name)

	d, err := openDeployment(ctx, c, logger)
	if err != nil {
		return nil, err
	}
	s := &server{config: c, logger: logger, deployment: d, listener: listener}
	s.health = observe.NewHealth(metrics, logger, d.dependencies()...)

	counts := stats.New(stats.Config{Reader: d.store, Live: d.live, Observer: metrics, Logger: logger, Clock: clock()})
	s.ingest = ingest.New(ingest.Config{
		Store: d.store, Counters: counts, Totals: d.store.Totals, Probe: d.store.Probe, Observer: metrics, Logger: logger, Writers: d.writers,
		// A try that begins just before may take a while longer.
		GiveUpAfter:   c.RequestTimeout * 4 / 5,
		MaxQueueBytes: int(c.MaxInFlightBytes),
	})
	metrics.Queue(func() (int, int) { load := s.ingest.Load(); return load.Items, load.Bytes })

	questions := query.New(query.Config{
		Counter: d.store, Reader: d.store, Totals: counts, Probe: d.store.Ping, Observer: metrics, Clock: clock(),
		Timeout: c.QueryTimeout, Wait: c.RequestTimeout / 2, Concurrency: c.Questions(), Exports: exports, MaxEvents: c.QueryMaxEvents,
	})
	handler, err := httpapi.New(httpapi.Config{
		Ingest:         s.ingest,
		Rules:          ingest.NewRules(c.MaxFutureSkew, clock()),
		Questions:      questions,
		Limiter:        newLimiter(c, d, metrics),
		Health:         s.health,
		Metrics:        metrics,
		MetricsHandler: metrics.Handler(),
		Logger:         logger,
		Version:        p.version,
		TrustedProxies: c.TrustedProxies,
		CORSOrigins:    c.CORSOrigins,

		MaxFutureSkew:       c.MaxFutureSkew,
		RateLimit:           c.RateLimit,
		MaxBatchEvents:      c.MaxBatchEvents,
		MaxBatchBytes:       c.MaxBatchBytes,
		MaxInFlightRequests: c.MaxInFlight,
		MaxInFlightBytes:    c.MaxInFlightBytes,

		ValidateResponses: c.ValidateResponses,
	})
	if err != nil {
		return nil, errors.Join(err, s.ingest.Close(ctx), d.close())
	}
	s.http = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       c.BodyTimeout,
		WriteTimeout:      c.BodyTimeout + c.RequestTimeout + c.QueryTimeout + 10*time.Second,
		IdleTimeout:       2 * time.Minute,
		ConnState:         listener.connState,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if c, ok := conn.(httpapi.Conn); ok {
				return httpapi.WithConn(ctx, c)
			}
			return ctx
		},
		// net/http reads 4 KiB more than this before it answers 431.
		MaxHeaderBytes:               httpapi.MaxHeaderBytes - 4<<10,
		DisableGeneralOptionsHandler: true, // OPTIONS * is answered like any unknown path
		ErrorLog:                     slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}

	if s.profiler, err = startProfiler(ctx, c.PprofAddr); err != nil {
		return nil, errors.Join(err, s.ingest.Close(ctx), d.close())
	}

	loops, stop := context.WithCancel(context.Background())
	s.stopLoops = stop
	s.background.Go(func() { counts.Run(loops) })
	s.background.Go(func() { s.health.Run(loops) })
	keeper := upkeep.New(upkeep.Config{Store: d.store, Observer: metrics, Logger: logger, Clock: clock()})
	s.background.Go(func() { keeper.Run(loops) })
	return s, nil
}

// newLimiter returns the rate limit, or nil when there is none.
func newLimiter(c *config.Config, d *deployment, metrics *observe.Metrics) httpapi.Limiter {
	if c.RateLimit == 0 {
		return nil
	}
	return ratelimit.New(ratelimit.Config{
		Policy:     ratelimit.Policy{Quota: c.RateLimit, Window: time.Minute},
		Shared:     d.shared,
		Local:      memory.NewLimits(clock(), maxClients),
		Clock:      clock(),
		MaxClients: maxClients,
		Observer:   metrics,
	})
}

// oneSignal is the time within which a repeated signal is the same one.
const oneSignal = 200 * time.Millisecond

// clock returns the clock of every part.
func clock() func() time.Time {
	if failpoint.Enabled {
		return failpoint.Now
	}
	return time.Now
}

// run serves until a signal or a failure, stops, and returns the exit code.
func (s *server) run(p *process) int {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	s.health.SetPhase(observe.Serving)
	p.banner(s)

	var received os.Signal
	select {
	case received = <-p.signals:
		s.logger.Info("stopping", "signal", received.String())
	case err := <-served:
		s.logger.Error("the listener failed", "error", err)
	}
	// A second signal means now. Some senders signal twice at once, the process
	// and then its group (timeout(1) does): those are one.
	ended := make(chan struct{})
	defer close(ended)
	first := time.Now()
	go func() {
		for {
			select {
			case again := <-p.signals:
				if time.Since(first) < oneSignal {
					continue
				}
				s.logger.Warn("stopping at once", "signal", again.String())
				p.exit(exitFailure)
			case <-ended:
				return
			}
		}
	}()
	if err := s.stop(received == syscall.SIGTERM); err != nil {
		return p.fail(exitFailure, fmt.Errorf("stopping: %w", err))
	}
	s.logger.Info("stopped")
	if received == nil {
		return exitFailure
	}
	return exitOK
}

// stop ends everything, outermost first. Nothing accepted is lost:
//
//  1. readiness turns 503, and answers ask to close their connections
//  2. with gentle, load balancers get time to look elsewhere
//  3. the listener takes what has arrived and closes
//  4. requests in flight finish
//  5. the ingest writers commit what waits, and end
//  6. the loops end
//  7. the connections to Redis and the database close
func (s *server) stop(gentle bool) error {
	s.health.SetPhase(observe.Stopping)
	if gentle && s.config.ShutdownDelay > 0 {
		timer := time.NewTimer(s.config.ShutdownDelay)
		<-timer.C
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.config.ShutdownTimeout)
	defer cancel()
	errs := []error{s.listener.drain(ctx)}
	if err := s.http.Shutdown(ctx); err != nil {
		errs = append(errs, fmt.Errorf("requests still in flight: %w", err), s.http.Close())
	}
	s.listener.release()
	errs = append(errs, s.ingest.Close(ctx))
	s.stopLoops()
	s.background.Wait()
	return errors.Join(append(errs, s.profiler.close(), s.deployment.close())...)
}

// banner tells people where things are.
func (p *process) banner(s *server) {
	host, port, err := net.SplitHostPort(s.listener.Addr().String())
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	base := "http://" + net.JoinHostPort(host, port)
	deployment := s.deployment.name
	fmt.Fprintf(p.stdout, `analytics %s
  deployment  %s
  data        %s
  API         %s
  docs        %s/docs
  metrics     %s/metrics
`, p.version, deployment, s.deployment.where, base, base, base)
	s.logger.Info("serving", "url", base)
}
