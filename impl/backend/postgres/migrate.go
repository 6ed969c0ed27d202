package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/sql/schema"
)

// minServerVersion is the oldest server_version_num that is supported.
const minServerVersion = 150000

// Migrate brings the database at url to the newest schema that this program
// knows. Several processes may do so at once, also on an empty database: one
// works, the others wait for it until ctx is over.
//
// Errors match event.ErrUnavailable when the database doesn't answer, and
// event.ErrConflict when it is of no use to this program: the server is too old,
// or the schema was made by a newer program.
func Migrate(ctx context.Context, url string, logger *slog.Logger) error {
	return migrate(ctx, url, logger, schema.Postgres())
}

func migrate(ctx context.Context, url string, logger *slog.Logger, migrations fs.FS) (err error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	cfg, err := parseURL(url)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*cfg.ConnConfig)
	defer func() { err = errors.Join(err, db.Close()) }()

	if err := checkServer(ctx, db); err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations,
		goose.WithSessionLocker(sessionLock{}), goose.WithSlog(logger), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("postgres: read the migrations: %w", err)
	}
	current, err := provider.GetDBVersion(ctx)
	if err != nil {
		return translate(ctx, "read the schema's version", err)
	}
	sources := provider.ListSources()
	newest := sources[len(sources)-1].Version
	if current > newest {
		return fmt.Errorf("postgres: the database has schema version %d, this program knows versions up to %d: run a newer program: %w",
			current, newest, event.ErrConflict)
	}
	done, err := provider.Up(ctx)
	if err != nil {
		return translate(ctx, "migrate the schema", err)
	}
	for _, m := range done {
		logger.Info("database schema migrated", "version", m.Source.Version, "took", m.Duration.Round(time.Millisecond).String())
	}
	return nil
}

func checkServer(ctx context.Context, db *sql.DB) error {
	var text string
	if err := db.QueryRowContext(ctx, "SHOW server_version_num").Scan(&text); err != nil {
		return translate(ctx, "read the server's version", err)
	}
	return checkVersion(text)
}

func checkVersion(number string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("postgres: the server's version %q can't be read: %w", number, event.ErrConflict)
	}
	if n < minServerVersion {
		return fmt.Errorf("postgres: PostgreSQL %d or newer is needed, the server is version %d.%d: %w",
			minServerVersion/10000, n/10000, n%10000, event.ErrConflict)
	}
	return nil
}

// sessionLock lets one process at a time migrate. It asks again and again
// instead of waiting inside the database: a waiting statement would hold a
// snapshot, and a migration that builds an index concurrently would wait for it.
type sessionLock struct{}

// lockKey names the lock. Its value has no meaning, but may never change.
const lockKey = "hashtextextended('analytics:migrations', 0)"

func (sessionLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	for {
		var locked bool
		if err := conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock("+lockKey+")").Scan(&locked); err != nil {
			return err
		}
		if locked {
			return nil
		}
		wait := time.NewTimer(75 * time.Millisecond)
		select {
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		case <-wait.C:
		}
	}
}

func (sessionLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock("+lockKey+")")
	return err
}
