package testkit

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestAProgramLaunchesFreezesAndRemovesPostgres(t *testing.T) {
	t.Parallel()
	s, err := LaunchPostgres("fsync=on", "full_page_writes=on", "shared_buffers=128MB")
	if err != nil {
		cannotStart(t, err)
	}
	t.Cleanup(s.Remove)
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

	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() { answered <- conn.Ping(t.Context()) }()
	select {
	case err := <-answered:
		t.Fatalf("a frozen server answered: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if err := s.Unfreeze(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("after it was unfrozen: %v", err)
	}

	pid, err := s.PID()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	s.Remove()
	if !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		t.Errorf("server %d is left", pid)
	}
	if _, err := os.Stat(s.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", s.dir, err)
	}
	for what, err := range map[string]error{"Freeze": s.Freeze(), "Unfreeze": s.Unfreeze()} {
		if err == nil {
			t.Errorf("%s of a server that is gone succeeds", what)
		}
	}
	if _, err := s.PID(); err == nil {
		t.Error("a server that is gone has a pid")
	}
}

func TestAProgramLaunchesRedis(t *testing.T) {
	t.Parallel()
	s, err := LaunchRedis("--maxmemory", "64mb")
	if err != nil {
		cannotStart(t, err)
	}
	t.Cleanup(s.Remove)
	limit, err := redisClient(t, s.URL()).ConfigGet(t.Context(), "maxmemory").Result()
	if err != nil || limit["maxmemory"] != "67108864" {
		t.Errorf("%v, %v", limit, err)
	}
}

func TestAStandbyFollowsAndTakesOver(t *testing.T) {
	t.Parallel()
	primary, err := LaunchPostgres()
	if err != nil {
		cannotStart(t, err)
	}
	t.Cleanup(primary.Remove)
	if err := execute(primary.URL(), "CREATE TABLE before ()"); err != nil {
		t.Fatal(err)
	}
	standby, err := LaunchStandby(primary, "second")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standby.Remove)
	conn := open(t, primary.URL())
	Eventually(t, time.Minute, "the standby to follow", func() bool {
		return len(ask[string](t, conn, "SELECT application_name FROM pg_stat_replication WHERE application_name = 'second' AND state = 'streaming'")) == 1
	})
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = 'second'", "SELECT pg_reload_conf()"} {
		if err := execute(primary.URL(), statement); err != nil {
			t.Fatal(err)
		}
	}
	Eventually(t, time.Minute, "the standby to be waited for", func() bool {
		return ask[string](t, conn, "SELECT sync_state FROM pg_stat_replication")[0] == "sync"
	})
	if err := execute(primary.URL(), "CREATE TABLE after ()"); err != nil {
		t.Fatal(err)
	}
	if err := execute(standby.URL(), "CREATE TABLE mine ()"); err == nil {
		t.Error("the standby takes writes")
	}

	if err := primary.Crash(); err != nil {
		t.Fatal(err)
	}
	if err := primary.Crash(); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	if err := execute(standby.URL(), "CREATE TABLE mine (); SELECT FROM before, after"); err != nil {
		t.Errorf("after its promotion: %v", err)
	}
	if err := primary.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := execute(primary.URL(), "SELECT FROM after"); err != nil {
		t.Errorf("after its restart: %v", err)
	}
}
