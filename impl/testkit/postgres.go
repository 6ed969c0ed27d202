package testkit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"highload.example/analytics/internal/harness"
	schema "highload.example/analytics/sql/schema"
)

// templateTimeout is long: a loaded machine may copy a database for seconds.
const templateTimeout = 2 * time.Minute

// Postgres returns the URL of a fresh database with the product's tables, on the
// run's server. It is dropped at the end of the test.
func Postgres(t testing.TB) string {
	t.Helper()
	server := sharedPostgres(t)
	template, err := makeTemplate(server)
	if err != nil {
		t.Fatalf("testkit: %v", err)
	}
	return database(t, server, template)
}

// EmptyPostgres returns the URL of a fresh database without tables.
func EmptyPostgres(t testing.TB) string {
	t.Helper()
	return database(t, sharedPostgres(t), "template1")
}

// StartPostgres starts a server for a test that stops, kills or pauses it. Its
// URL names a database with the product's tables.
func StartPostgres(t testing.TB) *Server {
	t.Helper()
	s, err := harness.StartPostgres(harness.PostgresConfig{})
	if err != nil {
		StartFailed(t, err)
	}
	t.Cleanup(s.Remove)
	template, err := makeTemplate(s.URL())
	if err != nil {
		t.Fatalf("testkit: %v", err)
	}
	const name = "private"
	if err := harness.Execute(t.Context(), s.URL(), "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		t.Fatalf("testkit: %v", err)
	}
	return &Server{Server: s, t: t, url: harness.WithDatabase(s.URL(), name)}
}

// sharedPostgres returns the URL of the run's server.
func sharedPostgres(t testing.TB) string {
	t.Helper()
	if url := os.Getenv(harness.EnvPostgres); url != "" {
		return url
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.postgres == nil {
		s, err := harness.StartPostgres(harness.PostgresConfig{})
		if err != nil {
			StartFailed(t, err)
		}
		shared.postgres = s
	}
	return shared.postgres.URL()
}

// databases numbers this process's databases.
var databases atomic.Int64

// database makes a database from a template, and drops it at the end of the test.
func database(t testing.TB, server, template string) string {
	t.Helper()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), databases.Add(1))
	if err := harness.Execute(context.Background(), server, "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		t.Fatalf("testkit: making a database: %v", err)
	}
	t.Cleanup(func() {
		if err := harness.Execute(context.Background(), server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("testkit: dropping a database: %v", err)
		}
	})
	return harness.WithDatabase(server, name)
}

// makeTemplate returns the name of the template database with today's tables,
// and makes it if it isn't there. Several processes may want it at once.
func makeTemplate(server string) (name string, err error) {
	name, err = templateName()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), templateTimeout)
	defer cancel()
	conn, err := harness.Connect(ctx, server)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	// Released with the connection.
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext('testkit'))"); err != nil {
		return "", fmt.Errorf("locking the template: %w", err)
	}
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil {
		return "", fmt.Errorf("looking for the template: %w", err)
	}
	if there {
		return name, nil
	}
	// It gets its name when it is complete.
	unfinished := name + "_unfinished"
	for _, statement := range []string{"DROP DATABASE IF EXISTS " + unfinished + " WITH (FORCE)", "CREATE DATABASE " + unfinished} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return "", fmt.Errorf("making the template: %w", err)
		}
	}
	if err := migrate(ctx, harness.WithDatabase(server, unfinished)); err != nil {
		return "", err
	}
	if _, err := conn.Exec(ctx, "ALTER DATABASE "+unfinished+" RENAME TO "+name); err != nil {
		return "", fmt.Errorf("naming the template: %w", err)
	}
	return name, nil
}

func migrate(ctx context.Context, url string) (err error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("reading the template's URL: %w", err)
	}
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, schema.Postgres())
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrating the template: %w", err)
	}
	return nil
}

// templateName depends on every migration's text, so that a template never goes
// stale.
func templateName() (string, error) {
	hash := sha256.New()
	files := schema.Postgres()
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".sql") {
			return err
		}
		text, err := fs.ReadFile(files, path)
		fmt.Fprintf(hash, "%s %d\n%s", path, len(text), text)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("reading the migrations: %w", err)
	}
	return "template_" + hex.EncodeToString(hash.Sum(nil)[:8]), nil
}
