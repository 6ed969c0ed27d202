package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// redisDatabases is how many logical databases a server has. Number 0 keeps the
// kit's own count of those handed out.
const redisDatabases = 512

// Redis returns the URL of an empty logical database on the run's server. A test
// that says FLUSHALL would empty everybody's: it takes StartRedis.
func Redis(t testing.TB) string {
	t.Helper()
	server := sharedRedis(t)
	ctx := context.Background()
	root := redisClient(t, server+"/0")
	n, err := root.Incr(ctx, "testkit:handed-out").Result()
	if err != nil {
		t.Fatalf("testkit: taking a Redis database: %v", err)
	}
	url := server + "/" + strconv.FormatInt(redisNumber(n), 10)
	own := redisClient(t, url)
	if err := own.FlushDB(ctx).Err(); err != nil {
		t.Fatalf("testkit: emptying a Redis database: %v", err)
	}
	t.Cleanup(func() {
		if err := own.FlushDB(ctx).Err(); err != nil {
			t.Errorf("testkit: emptying a Redis database: %v", err)
		}
	})
	return url
}

// redisNumber returns the number of the n-th database handed out. They go round,
// and leave out 0.
func redisNumber(n int64) int64 { return n%(redisDatabases-1) + 1 }

func redisClient(t testing.TB, url string) *goredis.Client {
	t.Helper()
	options, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatalf("testkit: %v", err)
	}
	client := goredis.NewClient(options)
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("testkit: %v", err)
		}
	})
	return client
}

// StartRedis starts a server for a test that stops, kills, freezes or empties it,
// with more arguments for redis-server if need be.
func StartRedis(t testing.TB, args ...string) *Server {
	t.Helper()
	s, err := newRedis(args...)
	if err != nil {
		cannotStart(t, err)
	}
	s.url += "/0"
	return s.own(t)
}

// sharedRedis returns the URL of the run's server, without a database.
func sharedRedis(t testing.TB) string {
	t.Helper()
	if url := os.Getenv(EnvRedis); url != "" {
		return url
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.redis == nil {
		s, err := newRedis()
		if err != nil {
			cannotStart(t, err)
		}
		shared.redis = s
	}
	return shared.redis.url
}

func newRedis(args ...string) (*Server, error) {
	program, version, err := findRedis()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "testkit-redis-")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	s := &Server{dir: dir, version: version, kind: kind{
		name: "Redis", stopSignal: "TERM",
		command: func(dir string, port int) []string {
			return append([]string{
				program, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir,
				"--save", "", "--appendonly", "no", "--databases", strconv.Itoa(redisDatabases),
			}, args...)
		},
		ready: func(_ string, port, pid int) error { return redisReady(port, pid, password(args)) },
	}}
	if err := s.launch(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.url = fmt.Sprintf("redis://127.0.0.1:%d", s.port)
	return s, nil
}

// redisReady says whether the server on a port answers, and is ours.
func redisReady(port, pid int, password string) (err error) {
	client := goredis.NewClient(&goredis.Options{
		Addr: fmt.Sprintf("127.0.0.1:%d", port), Password: password, MaxRetries: -1, DialTimeout: time.Second,
	})
	defer func() { err = errors.Join(err, client.Close()) }()
	info, err := client.Info(context.Background(), "server").Result()
	if err != nil {
		return fmt.Errorf("asking Redis: %w", err)
	}
	if !strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", pid)) {
		return errors.New("another server has the port")
	}
	return nil
}

// password returns the one that a server's arguments set, if any.
func password(args []string) string {
	if i := slices.Index(args, "--requirepass"); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}
