package testkit

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"highload.example/analytics/internal/harness"
)

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
// and leave out 0, which keeps the kit's own count of those handed out.
func redisNumber(n int64) int64 { return n%(harness.RedisDatabases-1) + 1 }

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

// StartRedis starts a server for a test that stops, kills, pauses or empties it,
// with more arguments for redis-server if need be.
func StartRedis(t testing.TB, args ...string) *Server {
	t.Helper()
	s, err := harness.StartRedis(args...)
	if err != nil {
		StartFailed(t, err)
	}
	t.Cleanup(s.Remove)
	return &Server{Server: s, t: t, url: s.URL()}
}

// sharedRedis returns the URL of the run's server, without a database.
func sharedRedis(t testing.TB) string {
	t.Helper()
	if url := os.Getenv(harness.EnvRedis); url != "" {
		return strings.TrimSuffix(url, "/0")
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.redis == nil {
		s, err := harness.StartRedis()
		if err != nil {
			StartFailed(t, err)
		}
		shared.redis = s
	}
	return strings.TrimSuffix(shared.redis.URL(), "/0")
}
