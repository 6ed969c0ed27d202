package testkit

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"
)

// both are the two kinds of server, and how a test writes and reads a value that
// survives orderly stops and crashes. Redis keeps an append-only file for that.
var both = []struct {
	name        string
	start       func(testing.TB) *Server
	write, read func(ctx context.Context, url string) error
}{
	{
		name:  "PostgreSQL",
		start: StartPostgres,
		write: func(ctx context.Context, url string) error {
			return withConn(ctx, url, func(conn *pgx.Conn) error {
				_, err := conn.Exec(ctx, "CREATE TABLE kept ()")
				return err
			})
		},
		read: func(ctx context.Context, url string) error {
			return withConn(ctx, url, func(conn *pgx.Conn) error {
				_, err := conn.Exec(ctx, "SELECT FROM kept, events")
				return err
			})
		},
	},
	{
		name: "Redis",
		start: func(t testing.TB) *Server {
			return StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
		},
		write: func(ctx context.Context, url string) error {
			return withRedis(url, func(client *goredis.Client) error { return client.Set(ctx, "kept", "1", 0).Err() })
		},
		read: func(ctx context.Context, url string) error {
			return withRedis(url, func(client *goredis.Client) error { return client.Get(ctx, "kept").Err() })
		},
	},
}

func withConn(ctx context.Context, url string, use func(*pgx.Conn) error) error {
	conn, err := connect(ctx, url)
	if err != nil {
		return err
	}
	return errors.Join(use(conn), conn.Close(ctx))
}

func withRedis(url string, use func(*goredis.Client) error) error {
	options, err := goredis.ParseURL(url)
	if err != nil {
		return err
	}
	options.MaxRetries, options.ContextTimeoutEnabled = -1, true
	client := goredis.NewClient(options)
	return errors.Join(use(client), client.Close())
}

func TestServersStopStartDieAndFreeze(t *testing.T) {
	t.Parallel()
	for _, kind := range both {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			s := kind.start(t)
			url := s.URL()
			mustWork := func(after string) {
				t.Helper()
				if err := kind.read(t.Context(), url); err != nil {
					t.Fatalf("after %s: %v", after, err)
				}
				if s.URL() != url {
					t.Fatalf("after %s it is at %s, not %s", after, s.URL(), url)
				}
			}
			mustBeGone := func(after string, pids []int) {
				t.Helper()
				for _, pid := range pids {
					if running(pid) {
						t.Fatalf("after %s process %d runs", after, pid)
					}
				}
				if err := kind.read(t.Context(), url); err == nil {
					t.Fatalf("after %s it answers", after)
				}
			}
			pidsNow := func() []int {
				t.Helper()
				pids, err := family(s.child.pid)
				if err != nil {
					t.Fatal(err)
				}
				return pids
			}
			if err := kind.write(t.Context(), url); err != nil {
				t.Fatal(err)
			}
			mustWork("the start")

			pids := pidsNow()
			s.Stop()
			mustBeGone("Stop", pids)
			s.Stop() // a second time does nothing
			s.Start()
			mustWork("Stop and Start")

			pids = pidsNow()
			s.Kill()
			mustBeGone("Kill", pids)
			s.Kill() // nor this
			s.Start()
			mustWork("Kill and Start")

			s.Pause()
			if !allIn(pidsNow(), stateStopped) {
				t.Fatal("after Pause a process goes on")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			err := kind.read(ctx, url)
			cancel()
			if err == nil {
				t.Fatal("after Pause it answers")
			}
			if refused := new(net.OpError); errors.As(err, &refused) && refused.Op == "dial" && !refused.Timeout() {
				t.Fatalf("after Pause it doesn't keep quiet: %v", err)
			}
			s.Resume()
			mustWork("Pause and Resume")

			s.Pause()
			pids = pidsNow()
			s.Kill()
			mustBeGone("Pause and Kill", pids)
			s.Start()
			mustWork("Pause, Kill and Start")

			s.Pause()
			pids = pidsNow()
			began := time.Now()
			s.Stop()
			mustBeGone("Pause and Stop", pids)
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("a frozen server's stop took %s: it waited for the watchdog", took)
			}
			s.Start()
			mustWork("Pause, Stop and Start")
		})
	}
}

func TestAServerGoesWithItsTestEvenFrozen(t *testing.T) {
	t.Parallel()
	for _, kind := range both {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			var pids []int
			var dir string
			t.Run("its test", func(t *testing.T) {
				s := kind.start(t)
				s.Pause()
				var err error
				if pids, err = family(s.child.pid); err != nil {
					t.Fatal(err)
				}
				pids = append(pids, s.child.supervisor.Process.Pid)
				dir = s.dir
			})
			for _, pid := range pids {
				Eventually(t, time.Minute, "the end of process "+strconv.Itoa(pid), func() bool { return !running(pid) })
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left: %v", dir, err)
			}
		})
	}
}

// A port that seemed free can be another's by the time the server binds it. The
// start must fail, at once, rather than take what answers there for ours.
func TestAStrangerOnThePortIsNotOurServer(t *testing.T) {
	t.Parallel()
	for _, kind := range both {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			stranger, ours := kind.start(t), kind.start(t)
			ours.Stop()
			own := ours.port
			ours.port = stranger.port
			began := time.Now()
			err := ours.start()
			if err == nil {
				t.Fatal("it started on a port that was taken")
			}
			if took := time.Since(began); took > readyTimeout/2 {
				t.Errorf("it took %s to see that", took)
			}
			if !strings.Contains(strings.ToLower(err.Error()), "address already in use") {
				t.Errorf("the error doesn't show what the server said: %v", err)
			}
			ours.port = own
			ours.Start()
		})
	}
}

// What a test's end leaves behind would pile up on a developer's machine.
func TestStoppingLeavesNoHelpers(t *testing.T) {
	t.Parallel()
	s := StartRedis(t)
	group := s.child.supervisor.Process.Pid // it has a session of its own, so a group too
	s.Stop()
	Eventually(t, 5*time.Second, "the supervisor's helpers to end", func() bool {
		return errors.Is(syscall.Kill(-group, 0), syscall.ESRCH)
	})
}
