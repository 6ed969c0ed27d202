package harness

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"
)

func TestPostgresSettingsPauseRemove(t *testing.T) {
	t.Parallel()
	s := owned(t)(StartPostgres(PostgresConfig{Settings: []string{"fsync=on", "full_page_writes=on", "shared_buffers=128MB"}}))
	conn, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for name, want := range map[string]string{"fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB", "server_version": s.Version()} {
		var got string
		if err := conn.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s is %s, not %s", name, got, want)
		}
	}

	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() { answered <- conn.Ping(t.Context()) }()
	select {
	case err := <-answered:
		t.Fatalf("a paused server answered: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("after Resume: %v", err)
	}

	pid, err := s.PID()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	s.Remove()
	if !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		t.Errorf("server %d is left", pid)
	}
	if _, err := os.Stat(s.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", s.dir, err)
	}
	for what, err := range map[string]error{"Pause": s.Pause(), "Resume": s.Resume()} {
		if err == nil {
			t.Errorf("%s of a server that is gone succeeds", what)
		}
	}
	if _, err := s.PID(); err == nil {
		t.Error("a server that is gone has a pid")
	}
}

func TestRedisArguments(t *testing.T) {
	t.Parallel()
	s := startRedisFor(t, "--maxmemory", "64mb")
	must(t, withRedis(s.URL(), func(client *goredis.Client) error {
		limit, err := client.ConfigGet(t.Context(), "maxmemory").Result()
		if err == nil && limit["maxmemory"] != "67108864" {
			t.Errorf("%v", limit)
		}
		return err
	}))
}

func TestStandbyFollowsAndTakesOver(t *testing.T) {
	t.Parallel()
	primary := startPostgresFor(t)
	must(t, Execute(t.Context(), primary.URL(), "CREATE TABLE before ()"))
	standby := owned(t)(StartStandby(primary, "second", PostgresConfig{}))
	conn := openConn(t, primary.URL())
	eventually(t, "the standby to follow", func() bool {
		return len(queryColumn[string](t, conn, "SELECT application_name FROM pg_stat_replication WHERE application_name = 'second' AND state = 'streaming'")) == 1
	})
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = 'second'", "SELECT pg_reload_conf()"} {
		if err := Execute(t.Context(), primary.URL(), statement); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the standby to be waited for", func() bool {
		return queryColumn[string](t, conn, "SELECT sync_state FROM pg_stat_replication")[0] == "sync"
	})
	if err := Execute(t.Context(), primary.URL(), "CREATE TABLE after ()"); err != nil {
		t.Fatal(err)
	}
	if err := Execute(t.Context(), standby.URL(), "CREATE TABLE mine ()"); err == nil {
		t.Error("the standby takes writes")
	}

	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := primary.Kill(); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	if err := Execute(t.Context(), standby.URL(), "CREATE TABLE mine (); SELECT FROM before, after"); err != nil {
		t.Errorf("after its promotion: %v", err)
	}
	if err := primary.Start(); err != nil {
		t.Fatal(err)
	}
	if err := Execute(t.Context(), primary.URL(), "SELECT FROM after"); err != nil {
		t.Errorf("after its restart: %v", err)
	}
}

// A program that loads much wants it again, and must not lose it by being killed: then
// nobody says to the supervisor that the files stay.
func TestKeptDirOutlivesItsServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "kept")
	openToPostgres(t, filepath.Dir(dir))
	first := owned(t)(StartPostgres(PostgresConfig{KeptDir: dir, Settings: []string{"fsync=on"}}))
	must(t, Execute(t.Context(), first.URL(), "CREATE TABLE kept (answer integer)"))
	first.end(false)
	second := owned(t)(StartPostgres(PostgresConfig{KeptDir: dir}))
	if err := Execute(t.Context(), second.URL(), "DROP TABLE kept"); err != nil {
		t.Errorf("what was made before: %v", err)
	}
	second.Remove()
	if _, err := os.Stat(filepath.Join(dir, "data", "PG_VERSION")); err != nil {
		t.Errorf("the files are gone: %v", err)
	}
}

// openToPostgres lets other accounts through the directories above a test's own, as
// root's server isn't root's.
func openToPostgres(t *testing.T, dir string) {
	t.Helper()
	for ; strings.HasPrefix(dir, os.TempDir()+string(filepath.Separator)); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// openConn connects to a database until the end of the test.
func openConn(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := Connect(t.Context(), url)
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

// queryColumn returns the first column of a query's rows.
func queryColumn[T any](t *testing.T, conn *pgx.Conn, query string, args ...any) []T {
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
