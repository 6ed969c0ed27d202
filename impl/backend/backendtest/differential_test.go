package backendtest_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"highload.example/analytics/impl/backend/backendtest"
	"highload.example/analytics/impl/backend/postgres"
	"highload.example/analytics/impl/backend/sqlite"
	"highload.example/analytics/impl/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestPostgresAndSQLiteGiveTheSameAnswers(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t)
	pg, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	lite, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "analytics.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pool.Close()
		if err := errors.Join(db.Close(), lite.Close(), pg.Close()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	backendtest.Differential(t,
		struct {
			*postgres.Store
			backendtest.PostgresView
		}{pg, backendtest.PostgresView{DB: pool}},
		struct {
			*sqlite.Store
			backendtest.SQLiteView
		}{lite, backendtest.SQLiteView{DB: db}})
}
