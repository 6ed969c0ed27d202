package harness

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
		start: startPostgresFor,
		write: func(ctx context.Context, url string) error {
			return withConn(ctx, url, func(conn *pgx.Conn) error {
				_, err := conn.Exec(ctx, "CREATE TABLE kept ()")
				return err
			})
		},
		read: func(ctx context.Context, url string) error {
			return withConn(ctx, url, func(conn *pgx.Conn) error {
				_, err := conn.Exec(ctx, "SELECT FROM kept")
				return err
			})
		},
	},
	{
		name: "Redis",
		start: func(t testing.TB) *Server {
			return startRedisFor(t, "--appendonly", "yes", "--appendfsync", "always")
		},
		write: func(ctx context.Context, url string) error {
			return withRedis(url, func(client *goredis.Client) error { return client.Set(ctx, "kept", "1", 0).Err() })
		},
		read: func(ctx context.Context, url string) error {
			return withRedis(url, func(client *goredis.Client) error { return client.Get(ctx, "kept").Err() })
		},
	},
}

// startPostgresFor starts a server that ends with the test.
func startPostgresFor(t testing.TB) *Server {
	t.Helper()
	return owned(t)(StartPostgres(PostgresConfig{}))
}

// startRedisFor starts a server that ends with the test.
func startRedisFor(t testing.TB, args ...string) *Server {
	t.Helper()
	return owned(t)(StartRedis(args...))
}

// owned makes a server that was started the test's. Where the program isn't installed the
// test is skipped, or fails when tests are required.
func owned(t testing.TB) func(*Server, error) *Server {
	return func(s *Server, err error) *Server {
		t.Helper()
		if errors.Is(err, ErrNotInstalled) && os.Getenv("TESTKIT_REQUIRED") == "" {
			t.Skipf("\n*** SKIPPED, this test ran NOTHING: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Remove)
		return s
	}
}

// must fails the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition, with a bound that only a hanging test meets.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	if !PollUntil(time.Minute, condition) {
		t.Fatalf("waited a minute for %s", what)
	}
}

func withConn(ctx context.Context, url string, use func(*pgx.Conn) error) error {
	conn, err := Connect(ctx, url)
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

func TestServerStopStartKillPause(t *testing.T) {
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
			must(t, s.Start())
			mustWork("Stop and Start")

			pids = pidsNow()
			must(t, s.Kill())
			mustBeGone("Kill", pids)
			must(t, s.Kill()) // nor this
			must(t, s.Start())
			mustWork("Kill and Start")

			must(t, s.Pause())
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
			must(t, s.Resume())
			mustWork("Pause and Resume")

			must(t, s.Pause())
			pids = pidsNow()
			must(t, s.Kill())
			mustBeGone("Pause and Kill", pids)
			must(t, s.Start())
			mustWork("Pause, Kill and Start")

			must(t, s.Pause())
			pids = pidsNow()
			began := time.Now()
			s.Stop()
			mustBeGone("Pause and Stop", pids)
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("a frozen server's stop took %s: it waited for the watchdog", took)
			}
			must(t, s.Start())
			mustWork("Pause, Stop and Start")
		})
	}
}

func TestPausedServerEndsWithItsTest(t *testing.T) {
	t.Parallel()
	for _, kind := range both {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			var pids []int
			var dir string
			t.Run("its test", func(t *testing.T) {
				s := kind.start(t)
				must(t, s.Pause())
				var err error
				if pids, err = family(s.child.pid); err != nil {
					t.Fatal(err)
				}
				pids = append(pids, s.child.supervisor.Process.Pid)
				dir = s.dir
			})
			for _, pid := range pids {
				eventually(t, "the end of process "+strconv.Itoa(pid), func() bool { return !running(pid) })
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left: %v", dir, err)
			}
		})
	}
}

// A port that seemed free can be another's by the time the server binds it. The
// start must fail, at once, rather than take what answers there for ours.
func TestStartOnTakenPort(t *testing.T) {
	t.Parallel()
	for _, kind := range both {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			stranger, ours := kind.start(t), kind.start(t)
			ours.Stop()
			own := ours.port
			ours.port = stranger.port
			began := time.Now()
			err := ours.Start()
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
			must(t, ours.Start())
		})
	}
}

// What a test's end leaves behind would pile up on a developer's machine.
func TestStopLeavesNoProcesses(t *testing.T) {
	t.Parallel()
	s := startRedisFor(t)
	group := s.child.supervisor.Process.Pid // it has a session of its own, so a group too
	s.Stop()
	eventually(t, "the supervisor's helpers to end", func() bool {
		return errors.Is(syscall.Kill(-group, 0), syscall.ESRCH)
	})
}
