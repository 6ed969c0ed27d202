package backendtest_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"highload.example/analytics/impl/backend/backendtest"
	"highload.example/analytics/impl/backend/postgres"
	"highload.example/analytics/impl/backend/sqlite"
	"highload.example/analytics/impl/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// patient names a database, and gives statements the time that they need on a busy machine.
func patient(url string) postgres.Config {
	return postgres.Config{URL: url, StatementTimeout: time.Minute, QuestionTimeout: time.Minute}
}

// TestQuestions compares the answers of both stores with those of a model. Each seed is a
// database of its own; QUESTION_SEEDS says how many.
func TestQuestions(t *testing.T) { //nolint:tparallel // what follows the subtests waits for them
	t.Parallel()
	seeds := 3
	if testkit.Long() {
		seeds = 8
	}
	if text := os.Getenv("QUESTION_SEEDS"); text != "" {
		var err error
		if seeds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	var compared atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		for seed := range uint64(seeds) {
			t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				pg, err := postgres.Open(t.Context(), patient(testkit.Postgres(t)))
				if err != nil {
					t.Fatal(err)
				}
				lite, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := errors.Join(lite.Close(), pg.Close()); err != nil {
						t.Errorf("Close: %v", err)
					}
				})
				compared.Add(int64(backendtest.Questions(t, seed, 25, map[string]backendtest.AskedStore{"PostgreSQL": pg, "SQLite": lite})))
			})
		}
	})
	t.Logf("%d answers compared", compared.Load())
}

func TestPostgresAndSQLiteGiveTheSameAnswers(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t)
	pg, err := postgres.Open(t.Context(), patient(url))
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
