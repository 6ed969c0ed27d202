package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"

	"github.com/pressly/goose/v3"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/sql/schema"
)

// migrate brings the file to the newest schema. The directory's lock keeps
// others from doing so at the same time.
func migrate(ctx context.Context, db *sql.DB, logger *slog.Logger) error {
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, schema.SQLite(),
		goose.WithSlog(logger), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("sqlite: read the migrations: %w", err)
	}
	current, err := provider.GetDBVersion(ctx)
	if err != nil {
		return translate(ctx, "open the database", err)
	}
	sources := provider.ListSources()
	newest := sources[len(sources)-1].Version
	if current > newest {
		return fmt.Errorf("sqlite: the database has schema version %d, this program knows versions up to %d: run a newer program: %w",
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
