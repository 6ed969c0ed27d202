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
