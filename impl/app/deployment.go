package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/term"

	"highload.example/analytics/impl/backend/memory"
	"highload.example/analytics/impl/backend/postgres"
	"highload.example/analytics/impl/backend/redis"
	"highload.example/analytics/impl/backend/sqlite"
	"highload.example/analytics/impl/config"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ingest"
	"highload.example/analytics/impl/observe"
	"highload.example/analytics/impl/query"
	"highload.example/analytics/impl/ratelimit"
	"highload.example/analytics/impl/stats"
	"highload.example/analytics/impl/upkeep"
)

// store is a record of events, as both databases are.
type store interface {
	ingest.Store
	stats.Reader
	query.Counter
	query.Reader
	upkeep.Store
	Ping(ctx context.Context) error
	Probe(ctx context.Context) error
	Close() error
}

// deployment is the parts that differ between the ways to run the product.
type deployment struct {
	name    string // for people and metrics
	where   string // where the data is, without secrets
	store   store
	writers int
	live    stats.Live
	shared  ratelimit.Store // nil: every replica limits for itself, and there is one
	redis   *redis.Client   // nil: in-process
}

// maxTypes bounds the event types whose counts are held in process. Others are
// counted by the database.
const maxTypes = 100_000

// deploymentName names the deployment that the settings ask for.
func deploymentName(c *config.Config) string {
	switch {
	case c.Embedded():
		return "embedded"
	case c.RedisURL == "":
		return "single replica"
	}
	return "replica"
}

// openDeployment opens what the settings ask for and waits for the database.
func openDeployment(ctx context.Context, c *config.Config, logger *slog.Logger) (*deployment, error) {
	if c.Embedded() {
		return openEmbedded(ctx, c, logger)
	}
	return openReplica(ctx, c, logger)
}

func openEmbedded(ctx context.Context, c *config.Config, logger *slog.Logger) (*deployment, error) {
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: c.DataDir, Readers: questionConns(c), Logger: logger, Now: clock()})
	if err != nil {
		return nil, fmt.Errorf("DATA_DIR: %w", err)
	}
	where, err := filepath.Abs(c.DataDir)
	if err != nil {
		where = c.DataDir
	}
	return &deployment{
		name: deploymentName(c), where: where, store: s,
		writers: 1, // SQLite has one writer
		live:    memory.NewCounters(maxTypes),
	}, nil
}

// exports is how many exports run at once.
const exports = 2

// questionConns is how many connections questions need: those that read events,
// exports, and two for the others, which are quick.
func questionConns(c *config.Config) int { return c.Questions() + exports + 2 }

func openReplica(ctx context.Context, c *config.Config, logger *slog.Logger) (*deployment, error) {
	if err := waitForPostgres(ctx, c, logger); err != nil {
		return nil, err
	}
	if err := postgres.Migrate(ctx, c.PGURL, logger); err != nil {
		return nil, fmt.Errorf("PG_URL: %w", err)
	}
	s, err := postgres.Open(ctx, postgres.Config{
		URL: c.PGURL, MaxConns: int32(c.PGMaxConns), Logger: logger,
		QuestionConns: int32(questionConns(c)), QuestionTimeout: c.QueryTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("PG_URL: %w", err)
	}
	d := &deployment{name: deploymentName(c), where: "PostgreSQL", store: s, writers: pgWriters}
	if c.RedisURL == "" {
		d.live = memory.NewCounters(maxTypes)
		logger.Warn("PG_URL without REDIS_URL: this must be the only replica; set REDIS_URL to run several")
		return d, nil
	}
	id, err := s.InstallationID(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("PG_URL: %w", err), s.Close())
	}
	d.redis, err = redis.Open(ctx, redis.Config{URL: c.RedisURL, Namespace: id})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("REDIS_URL: %w", err), s.Close())
	}
	d.where = "PostgreSQL and Redis"
	d.live, d.shared = d.redis.Counters(), d.redis.Limits()
	return d, nil
}

// pgWriters is how many transactions a replica has open at a time: one is as fast
// on two cores, and the second keeps the database busy where it is far away. It
// stays below the least PG_MAX_CONNS, so that questions and health checks find a
// connection.
const pgWriters = 2

// waitForPostgres asks until the database answers or STARTUP_TIMEOUT is over: in
// a fleet everything starts at once.
func waitForPostgres(ctx context.Context, c *config.Config, logger *slog.Logger) error {
	s, err := postgres.Open(ctx, postgres.Config{URL: c.PGURL, MaxConns: 1, Logger: logger})
	if err != nil {
		return fmt.Errorf("PG_URL: %w", err)
	}
	defer func() { _ = s.Close() }() // nothing was written through it
	ctx, cancel := context.WithTimeout(ctx, max(c.StartupTimeout, time.Second))
	defer cancel()
	var last error
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		pingCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		err := s.Ping(pingCtx)
		if err == nil {
			return struct{}{}, nil
		}
		last = err
		if errors.Is(err, postgres.ErrLogin) || !errors.Is(err, event.ErrUnavailable) {
			return struct{}{}, backoff.Permanent(err) // waiting makes no password right
		}
		logger.Warn("waiting for PostgreSQL", "for_at_most", c.StartupTimeout.String(), "error", err)
		return struct{}{}, err
	}, backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.3, Multiplier: 1.5, MaxInterval: time.Second,
	}), backoff.WithMaxElapsedTime(0))
	switch {
	case err == nil:
		return nil
	case last != nil:
		return fmt.Errorf("PG_URL: the database can't be used: %w", last)
	}
	return fmt.Errorf("PG_URL: waiting for the database: %w", err)
}

// close closes what was opened, the shared parts first.
func (d *deployment) close() error {
	var errs []error
	if d.redis != nil {
		errs = append(errs, d.redis.Close())
	}
	return errors.Join(append(errs, d.store.Close())...)
}

// dependencies are what health asks after.
func (d *deployment) dependencies() []observe.Dependency {
	dependencies := []observe.Dependency{{Name: "database", Required: true, Ping: d.store.Ping}}
	if d.redis != nil {
		dependencies = append(dependencies, observe.Dependency{Name: "redis", Ping: d.redis.Ping})
	}
	return dependencies
}

// newLogger returns the logger that the settings ask for.
func newLogger(c *config.Config, stderr io.Writer, suppressed func()) *slog.Logger {
	asJSON := c.LogFormat == "json"
	if c.LogFormat == "auto" {
		file, ok := stderr.(*os.File)
		asJSON = !ok || !term.IsTerminal(int(file.Fd()))
	}
	return observe.NewLogger(observe.LogConfig{Level: c.LogLevel, JSON: asJSON, Output: stderr, Clock: clock(), Suppressed: suppressed})
}
