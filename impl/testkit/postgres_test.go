package testkit

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"highload.example/analytics/internal/harness"
)

// open connects to a database until the end of the test.
func open(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := harness.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// ask returns the first column of a query's rows.
func ask[T any](t *testing.T, conn *pgx.Conn, query string, args ...any) []T {
	t.Helper()
	rows, err := conn.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatal(err)
	}
	return values
}

const listTables = `SELECT format('%I', tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`

func TestADatabaseHasTheTablesAndNoRows(t *testing.T) {
	t.Parallel()
	conn := open(t, Postgres(t))
	tables := ask[string](t, conn, listTables)
	for _, want := range []string{"events", "event_counts", "event_totals"} {
		if !slices.Contains(tables, want) {
			t.Errorf("no table %s in %v", want, tables)
		}
	}
	for _, table := range tables {
		// goose's own table holds which migrations ran, and the only rows of two
		// others are made by them.
		if table == "goose_db_version" || table == "installation" {
			continue
		}
		if n := ask[int](t, conn, "SELECT count(*) FROM "+table); n[0] != 0 {
			t.Errorf("%s has %d rows", table, n[0])
		}
	}
}

func TestStartedPostgresHasTheTables(t *testing.T) {
	t.Parallel()
	server := StartPostgres(t)
	if tables := ask[string](t, open(t, server.URL()), listTables); !slices.Contains(tables, "events") {
		t.Errorf("it has only %v", tables)
	}
	server.Kill()
	server.Start()
	if tables := ask[string](t, open(t, server.URL()), listTables); !slices.Contains(tables, "events") {
		t.Errorf("after a crash it has only %v", tables)
	}
}

func TestAnEmptyDatabaseHasNoTables(t *testing.T) {
	t.Parallel()
	if tables := ask[string](t, open(t, EmptyPostgres(t)), listTables); len(tables) > 0 {
		t.Errorf("it has %v", tables)
	}
}

func TestDatabasesAreSeparate(t *testing.T) {
	t.Parallel()
	one, other := open(t, Postgres(t)), open(t, Postgres(t))
	if _, err := one.Exec(t.Context(), "CREATE TABLE mine (); INSERT INTO mine DEFAULT VALUES"); err != nil {
		t.Fatal(err)
	}
	if tables := ask[string](t, other, listTables); slices.Contains(tables, "mine") {
		t.Error("one test sees the other's table")
	}
}

func TestADatabaseGoesWithItsTestEvenWhenInUse(t *testing.T) {
	var database string
	t.Run("its test", func(inner *testing.T) {
		u, err := url.Parse(Postgres(inner))
		if err != nil {
			inner.Fatal(err)
		}
		database = strings.TrimPrefix(u.Path, "/")
		leaked, err := harness.Connect(t.Context(), u.String())
		if err != nil {
			inner.Fatal(err)
		}
		// After the drop; which ends the other side, so that closing may fail.
		t.Cleanup(func() { _ = leaked.Close(context.Background()) })
	})
	conn := open(t, sharedPostgres(t))
	if n := ask[int](t, conn, "SELECT count(*) FROM pg_database WHERE datname = $1", database); n[0] != 0 {
		t.Errorf("%s is still there", database)
	}
}

// Settings that make careless code fail, and durability's shape left as it is.
func TestServerSettings(t *testing.T) {
	t.Parallel()
	conn := open(t, Postgres(t))
	for setting, want := range map[string]string{
		"TimeZone": "Asia/Kathmandu", "synchronous_commit": "on", "autovacuum": "on", "fsync": "off",
		"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "server_encoding": "UTF8", "lc_collate": "C",
		"max_connections": "300",
	} {
		if got := ask[string](t, conn, "SELECT current_setting($1)", setting); got[0] != want {
			t.Errorf("%s is %q, not %q", setting, got[0], want)
		}
	}
	data := ask[string](t, conn, "SHOW data_directory")[0]
	if info, err := os.Stat(data); err != nil || !info.IsDir() || !strings.Contains(data, "analytics-postgres-") {
		t.Errorf("the data is in %s: %v", data, err)
	}
}

// Test processes share a server and start at once: the template must be made once
// and never be seen unfinished.
func TestManyMayWantTheTemplateAtOnce(t *testing.T) {
	t.Parallel()
	server, err := harness.StartPostgres(harness.PostgresConfig{})
	if err != nil {
		StartFailed(t, err)
	}
	t.Cleanup(server.Remove)
	const many = 8
	errs := make(chan error, many)
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			template, err := makeTemplate(server.URL())
			if err == nil {
				err = harness.Execute(t.Context(), server.URL(), fmt.Sprintf("CREATE DATABASE copy_%d TEMPLATE %s", i, template))
			}
			errs <- err
		})
	}
	wg.Wait()
	for range many {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	templates := ask[string](t, open(t, server.URL()), "SELECT datname::text FROM pg_database WHERE datname LIKE 'template\\_%'")
	if name, err := templateName(); err != nil || !slices.Equal(templates, []string{name}) {
		t.Errorf("%v, not [%s]: %v", templates, name, err)
	}
	for i := range many {
		conn := open(t, harness.WithDatabase(server.URL(), fmt.Sprintf("copy_%d", i)))
		if tables := ask[string](t, conn, listTables); !slices.Contains(tables, "events") {
			t.Errorf("copy %d has only %v", i, tables)
		}
	}
}
