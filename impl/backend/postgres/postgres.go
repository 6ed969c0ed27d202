// Package postgres keeps the record of events in PostgreSQL 15 or newer. Any
// number of replicas may use one database at the same time.
//
// The database alone decides whether an event is new, inside the statement that
// stores and counts it: see InsertEvents in sql/queries/postgres.
package postgres

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"highload.example/analytics/gen/pgdb"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ingest"
	"highload.example/analytics/impl/stats"
)

var (
	_ ingest.Store = (*Store)(nil)
	_ stats.Reader = (*Store)(nil)
)

// Config says which database to use and how.
type Config struct {
	// URL names the database: postgres://user:password@host:5432/name?sslmode=...
	// or a libpq keyword/value string. It may name several hosts; then the one
	// that accepts writes is used, unless target_session_attrs says otherwise.
	URL string

	// MaxConns is the highest number of connections, at least 1. Default: what
	// pool_max_conns in the URL says, else 10.
	MaxConns int32

	// ConnectTimeout bounds one attempt to connect. Default: what
	// connect_timeout in the URL says, else 5 s.
	ConnectTimeout time.Duration

	// StatementTimeout is how long the server may work on one statement
	// before it gives up. Default: 10 s.
	StatementTimeout time.Duration

	// SlotLease is how long a writer's slot stays its own without being
	// renewed; it is renewed three times as often. Default: 30 s.
	SlotLease time.Duration

	// QuestionConns is the highest number of connections for questions, beside
	// MaxConns. Default: 4.
	QuestionConns int32

	// QuestionTimeout is how long the server may work on one question. Default: 10 s.
	QuestionTimeout time.Duration

	// Logger gets warnings. Default: none are written.
	Logger *slog.Logger

	dial pgconn.DialFunc // opens connections; default: the driver's own
}

// withDefaults returns c with every unset field at its default, except those
// whose default depends on the URL.
func (c Config) withDefaults() Config {
	if c.StatementTimeout <= 0 {
		c.StatementTimeout = 10 * time.Second
	}
	if c.SlotLease <= 0 {
		c.SlotLease = 30 * time.Second
	}
	if c.QuestionConns <= 0 {
		c.QuestionConns = 4
	}
	if c.QuestionTimeout <= 0 {
		c.QuestionTimeout = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

const (
	defaultMaxConns       = 10
	defaultConnectTimeout = 5 * time.Second

	// Connections are replaced now and then, not all at once: a load balancer or
	// a restarted standby gets its share again.
	connLifetime       = 30 * time.Minute
	connLifetimeJitter = 5 * time.Minute
	connIdleTime       = 5 * time.Minute
	healthCheckPeriod  = 15 * time.Second
	poolPingTimeout    = 2 * time.Second
)

// Store is the record of events. It is safe for concurrent use.
type Store struct {
	pool       *pgxpool.Pool
	queries    *pgdb.Queries
	questions  questions
	log        *slog.Logger
	partitions partitions
	slots      *slots
	closeOnce  sync.Once
}

// Open prepares a store. It does not wait for the database, nor does it need the
// database to be there: use Ping for that, and Migrate before the first use.
// An error means that the configuration is wrong and matches event.ErrInvalid;
// no error of this package contains the password. The store outlives ctx.
func Open(ctx context.Context, c Config) (*Store, error) {
	c = c.withDefaults()
	cfg, err := poolConfig(c)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, translate(ctx, "open the connection pool", err)
	}
	asked, err := pgxpool.NewWithConfig(ctx, questionConfig(cfg, c))
	if err != nil {
		pool.Close()
		return nil, translate(ctx, "open the connection pool", err)
	}
	s := &Store{pool: pool, queries: pgdb.New(pool), log: c.Logger, questions: questions{pool: asked, queries: pgdb.New(asked)}}
	s.slots = newSlots(ctx, s, c.SlotLease)
	return s, nil
}

// poolConfig turns c into the driver's words.
func poolConfig(c Config) (*pgxpool.Config, error) {
	cfg, err := parseURL(c.URL)
	if err != nil {
		return nil, err
	}
	if c.MaxConns > 0 {
		cfg.MaxConns = c.MaxConns
	} else if !mentions(c.URL, "pool_max_conns") {
		cfg.MaxConns = defaultMaxConns
	}
	if c.ConnectTimeout > 0 {
		cfg.ConnConfig.ConnectTimeout = c.ConnectTimeout
	}
	if c.dial != nil {
		cfg.ConnConfig.DialFunc = c.dial
	}
	cfg.ConnConfig.DialFunc = hurried(cfg.ConnConfig.DialFunc, cfg.ConnConfig.ConnectTimeout)
	cfg.MaxConnLifetime = connLifetime
	cfg.MaxConnLifetimeJitter = connLifetimeJitter
	cfg.MaxConnIdleTime = connIdleTime
	cfg.HealthCheckPeriod = healthCheckPeriod
	cfg.PingTimeout = poolPingTimeout
	cfg.ConnConfig.RuntimeParams["statement_timeout"] = milliseconds(c.StatementTimeout)
	cfg.AfterConnect = insistOnDurability
	return cfg, nil
}

// insistOnDurability undoes synchronous_commit=off, which a role or a database
// may have as its default: accepted means committed, and with it off a commit
// is answered before it is on disk. Every other value is left as it is.
func insistOnDurability(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx,
		`SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`,
		pgx.QueryExecModeSimpleProtocol)
	return err
}

// Ping reports whether the database answers. Errors match
// event.ErrUnavailable, and ErrLogin when it refuses the user or the database.
func (s *Store) Ping(ctx context.Context) error {
	return s.translate(ctx, "ping", s.pool.Ping(ctx))
}

// Probe is Ping for who waits for the database to come back. After an outage all
// connections may be dead without a sign of it, and each would cost a probe of its own:
// one that got no answer is the last to use any of them.
func (s *Store) Probe(ctx context.Context) error {
	err := s.Ping(ctx)
	if err != nil {
		s.pool.Reset()
		s.questions.pool.Reset()
	}
	return err
}

// InstallationID returns the name that this database was given when it was
// made, in the canonical form of a UUID.
func (s *Store) InstallationID(ctx context.Context) (string, error) {
	id, err := s.queries.InstallationID(ctx)
	if err != nil {
		return "", s.translate(ctx, "read the installation's name", err)
	}
	return event.ID(id.Bytes).String(), nil
}

// Stat is the state of the connection pool at one moment.
type Stat struct {
	Max          int32         // connections allowed
	Total        int32         // connections open or being opened
	Idle         int32         // connections open and unused
	InUse        int32         // connections in use
	Acquired     int64         // times that a connection was handed out since Open
	AcquireWait  time.Duration // time spent waiting for one, summed since Open
	EmptyAcquire int64         // times that one had to be waited for since Open
}

// Stat returns the state of the connection pool.
func (s *Store) Stat() Stat {
	p := s.pool.Stat()
	return Stat{
		Max: p.MaxConns(), Total: p.TotalConns(), Idle: p.IdleConns(), InUse: p.AcquiredConns(),
		Acquired: p.AcquireCount(), AcquireWait: p.AcquireDuration(), EmptyAcquire: p.EmptyAcquireCount(),
	}
}

// Close stops renewing slots and closes the connections, after those in use have
// been given back. Writers should be closed before. Closing twice does nothing.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.slots.stop()
		s.questions.pool.Close()
		s.pool.Close()
	})
	return nil
}

// translate is the function of the same name, and takes care of connections
// that a failover has left behind on a server which no longer accepts writes:
// they would stay healthy and useless, so all are replaced.
func (s *Store) translate(ctx context.Context, doing string, err error) error {
	if isReadOnly(err) {
		s.pool.Reset()
	}
	return translate(ctx, doing, err)
}
