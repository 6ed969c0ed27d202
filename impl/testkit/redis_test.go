package testkit

import (
	"context"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"highload.example/analytics/internal/harness"
)

func TestRedisDatabasesAreEmptyAndSeparate(t *testing.T) {
	t.Parallel()
	oneURL, otherURL := Redis(t), Redis(t)
	if oneURL == otherURL {
		t.Fatalf("both are %s", oneURL)
	}
	one, other := redisClient(t, oneURL), redisClient(t, otherURL)
	if err := one.Set(t.Context(), "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := other.DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("the other database has %d keys: %v", n, err)
	}
}

func TestARedisDatabaseIsEmptiedAfterItsTest(t *testing.T) {
	var url string
	t.Run("its test", func(t *testing.T) {
		url = Redis(t)
		if err := redisClient(t, url).Set(t.Context(), "key", "value", 0).Err(); err != nil {
			t.Fatal(err)
		}
	})
	if n, err := redisClient(t, url).DBSize(context.Background()).Result(); err != nil || n != 0 {
		t.Errorf("%d keys are left: %v", n, err)
	}
}

// The count of databases handed out lives in number 0, which no test gets: after
// the last number comes 1 again.
func TestRedisNumbersGoRound(t *testing.T) {
	t.Parallel()
	for handedOut, want := range map[int64]int64{1: 2, 2: 3, harness.RedisDatabases - 2: harness.RedisDatabases - 1, harness.RedisDatabases - 1: 1, harness.RedisDatabases: 2} {
		if got := redisNumber(handedOut); got != want {
			t.Errorf("the %dth is number %d, not %d", handedOut, got, want)
		}
	}
}

func TestARedisServerTakesArguments(t *testing.T) {
	t.Parallel()
	server := StartRedis(t, "--requirepass", "secret", "--maxmemory", "7mb")
	options, err := goredis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	options.Password = "secret"
	client := goredis.NewClient(options)
	defer client.Close()
	limit, err := client.ConfigGet(t.Context(), "maxmemory").Result()
	if err != nil || limit["maxmemory"] != "7340032" {
		t.Errorf("%v, %v", limit, err)
	}
}
