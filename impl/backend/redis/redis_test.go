package redis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"highload.example/analytics/impl/backend/backendtest"
	"highload.example/analytics/impl/backend/memory"
	"highload.example/analytics/impl/backend/redis"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ratelimit"
	"highload.example/analytics/impl/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// The keys that the tests meddle with, as keys.go documents them.
const (
	namespace = "test"
	loginKey  = "analytics:test:count:{login}"
	clientKey = "analytics:test:limit:{192.0.2.1}"
	client    = "192.0.2.1"
)

var hourly = ratelimit.Policy{Quota: 100, Window: time.Hour}

// patience bounds what is expected to succeed, however slow the machine is.
const patience = time.Minute

func open(t *testing.T, url string) *redis.Client {
	t.Helper()
	return openWith(t, redis.Config{URL: url, DialTimeout: patience, IOTimeout: patience})
}

func openWith(t *testing.T, config redis.Config) *redis.Client {
	t.Helper()
	if config.Namespace == "" {
		config.Namespace = namespace
	}
	c, err := redis.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

// raw is a plain connection to the same server.
func raw(t *testing.T, url string) *goredis.Client {
	t.Helper()
	o, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := goredis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func do(t *testing.T, c *goredis.Client, args ...any) any {
	t.Helper()
	v, err := c.Do(t.Context(), args...).Result()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return v
}

func login(slot int32, count int64) event.Total {
	return event.Total{Type: "login", Slot: slot, Count: count}
}

func fill(t *testing.T, c *redis.Client, totals ...event.Total) {
	t.Helper()
	if err := c.Counters().Fill(t.Context(), "login", totals); err != nil {
		t.Fatal(err)
	}
}

func forget(t *testing.T, c *redis.Client) {
	t.Helper()
	if err := c.Counters().Forget(t.Context(), "login"); err != nil {
		t.Fatal(err)
	}
}

func expectCount(t *testing.T, c *redis.Client, want int64, complete bool) {
	t.Helper()
	n, ok, err := c.Counters().Count(t.Context(), "login")
	if err != nil || ok != complete || n != want {
		t.Fatalf("Count = %d, %t, %v; expected %d, %t", n, ok, err, want, complete)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	backendtest.Limits(t, func(t *testing.T) ratelimit.Store { return open(t, testkit.Redis(t)).Limits() })
}

func TestCounters(t *testing.T) {
	t.Parallel()
	backendtest.Counters(t, func(t *testing.T) backendtest.TestCounters { return open(t, testkit.Redis(t)).Counters() })
}

// TestSharedLimit: two replicas that hammer one client's bucket admit its quota
// together, and all of it but what their leases may strand.
func TestSharedLimit(t *testing.T) {
	t.Parallel()
	url := testkit.Redis(t)
	p := ratelimit.Policy{Quota: 1500, Window: 24 * time.Hour}
	clock := testkit.NewClock(time.Now()) // stands, so that no lease is too old on a slow machine
	var (
		wg      sync.WaitGroup
		allowed atomic.Int64
	)
	for range 2 {
		l := ratelimit.New(ratelimit.Config{
			Policy: p, Shared: open(t, url).Limits(), Local: memory.NewLimits(clock.Now, 10), Clock: clock.Now,
			SharedTimeout: patience, // a slow machine is no outage here
		})
		for range 4 {
			wg.Go(func() {
				for range 500 {
					if l.Allow(t.Context(), client, 1).Allowed {
						allowed.Add(1)
					}
				}
			})
		}
	}
	wg.Wait()
	if n := allowed.Load(); n > 1500 || n < 1500-2*15 {
		t.Errorf("%d requests allowed of a quota of 1500", n)
	}
}

func TestFlushAll(t *testing.T) {
	t.Parallel()
	url := testkit.StartRedis(t).URL()
	c, r := open(t, url), raw(t, url)
	fill(t, c, login(1, 5), login(2, 6))
	take(t, c, 100)
	expectCount(t, c, 11, true)
	do(t, r, "FLUSHALL")
	expectCount(t, c, 0, false)
	if err := c.Counters().Publish(t.Context(), []event.Total{login(1, 6)}); err != nil {
		t.Fatal(err)
	}
	expectCount(t, c, 0, false) // slot 2 is missing: this must not pass for a count
	fill(t, c, login(1, 5), login(2, 6))
	expectCount(t, c, 12, true)
	if g := take(t, c, 1); g.Remaining != 99 {
		t.Errorf("the bucket after FLUSHALL: %+v", g)
	}
}

func take(t *testing.T, c *redis.Client, want int) ratelimit.Grant {
	t.Helper()
	g, err := c.Limits().Take(t.Context(), client, hourly, 1, want)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestForeignKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		write []any
	}{
		{"a string", []any{"SET", loginKey, "x"}},
		{"a list", []any{"RPUSH", loginKey, "1"}},
		{"a field that is no slot", []any{"HSET", loginKey, "complete", "1", "1", "5", "foo", "7"}},
		{"a slot with leading zeros", []any{"HSET", loginKey, "complete", "1", "1", "5", "007", "7"}},
		{"a slot out of range", []any{"HSET", loginKey, "complete", "1", "1", "5", "4294967296", "7"}},
		{"a total that is no number", []any{"HSET", loginKey, "complete", "1", "1", "5x", "2", "-1"}},
		{"a total out of range", []any{"HSET", loginKey, "complete", "1", "1", "5", "2", "9223372036854775808"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := testkit.Redis(t)
			client, r := open(t, url), raw(t, url)
			do(t, r, c.write...)
			expectCount(t, client, 0, false)
			if _, err := client.Counters().Totals(t.Context(), "login"); err != nil {
				t.Errorf("Totals: %v", err)
			}
			if err := client.Counters().Publish(t.Context(), []event.Total{login(1, 6)}); err != nil {
				t.Errorf("Publish: %v", err)
			}
			expectCount(t, client, 0, false)
			fill(t, client, login(1, 5))
			expectCount(t, client, 6, true)
		})
	}
	t.Run("totals beyond int64 together", func(t *testing.T) {
		t.Parallel()
		url := testkit.Redis(t)
		client, r := open(t, url), raw(t, url)
		do(t, r, "HSET", loginKey, "complete", "1", "1", "9223372036854775807", "2", "1")
		expectCount(t, client, 0, false)
	})
	t.Run("a bucket of another type", func(t *testing.T) {
		t.Parallel()
		url := testkit.Redis(t)
		c, r := open(t, url), raw(t, url)
		do(t, r, "RPUSH", clientKey, "x")
		if _, err := c.Limits().Take(t.Context(), client, hourly, 1, 1); !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("Take: %v", err)
		}
		for _, text := range []string{"", "x", "1 x", "-1 -1", "nan inf", "99999999999999999999 1"} {
			do(t, r, "SET", clientKey, text)
			if g := take(t, c, 1); g.Granted+g.Remaining > 100 || g.RetryAfter > time.Hour {
				t.Errorf("a bucket of %q: %+v", text, g)
			}
		}
	})
}

func TestUnknownScripts(t *testing.T) {
	t.Parallel()
	url := testkit.StartRedis(t).URL()
	c, r := open(t, url), raw(t, url)
	var totals []event.Total
	for i := range 50 {
		totals = append(totals, event.Total{Type: fmt.Sprint("type", i), Slot: 1, Count: int64(i + 1)})
	}
	for range 3 {
		do(t, r, "SCRIPT", "FLUSH")
		if err := c.Counters().Publish(t.Context(), totals); err != nil {
			t.Fatal(err)
		}
		for i := range totals {
			totals[i].Count++
		}
		do(t, r, "SCRIPT", "FLUSH")
		fill(t, c, login(1, 1))
		do(t, r, "SCRIPT", "FLUSH")
		take(t, c, 1)
	}
	for i, want := range totals {
		got, err := c.Counters().Totals(t.Context(), want.Type)
		if err != nil || len(got) != 1 || got[0].Count != want.Count-1 {
			t.Errorf("type %d: %v, %v", i, got, err)
		}
	}
	if g := take(t, c, 1); g.Remaining != 96 {
		t.Errorf("four tokens were taken: %+v", g)
	}
}

// everything calls everything once, each with a time-out, and returns the errors.
func everything(ctx context.Context, c *redis.Client, timeout time.Duration) map[string]error {
	counters := c.Counters()
	errs := map[string]error{}
	grown := []event.Total{login(1, time.Now().UnixNano())} // more than ever before: there's something to write
	for name, call := range map[string]func(ctx context.Context) error{
		"Ping":    c.Ping,
		"Publish": func(ctx context.Context) error { return counters.Publish(ctx, grown) },
		"Fill":    func(ctx context.Context) error { return counters.Fill(ctx, "login", grown) },
		"Forget":  func(ctx context.Context) error { return counters.Forget(ctx, "login") },
		"Count":   func(ctx context.Context) error { _, _, err := counters.Count(ctx, "login"); return err },
		"Totals":  func(ctx context.Context) error { _, err := counters.Totals(ctx, "login"); return err },
		"Take":    func(ctx context.Context) error { _, err := c.Limits().Take(ctx, client, hourly, 1, 1); return err },
	} {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		errs[name] = call(ctx)
		cancel()
	}
	return errs
}

func expectUnavailable(t *testing.T, errs map[string]error) {
	t.Helper()
	for name, err := range errs {
		if !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// expectRecovery waits until everything works again.
func expectRecovery(t *testing.T, c *redis.Client) {
	t.Helper()
	testkit.Eventually(t, patience, "everything works again", func() bool {
		for _, err := range everything(t.Context(), c, patience) {
			if err != nil {
				return false
			}
		}
		return true
	})
}

// TestPausedServer: the caller's deadline ends a call, long before the client's own
// time-out would.
func TestPausedServer(t *testing.T) {
	t.Parallel()
	server := testkit.StartRedis(t)
	const own = 15 * time.Second
	c := openWith(t, redis.Config{URL: server.URL(), DialTimeout: own, IOTimeout: own})
	expectRecovery(t, c)
	server.Pause()
	begin := time.Now()
	errs := everything(t.Context(), c, 50*time.Millisecond)
	if took := time.Since(begin); took > own {
		t.Errorf("%d calls with 50 ms each took %s", len(errs), took)
	}
	expectUnavailable(t, errs)

	// Many at once get their errors as soon, whatever the pool's state.
	var wg sync.WaitGroup
	begin = time.Now()
	for range 50 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := c.Limits().Take(ctx, client, hourly, 1, 1); !errors.Is(err, event.ErrUnavailable) {
				t.Errorf("Take: %v", err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(begin); took > own {
		t.Errorf("50 calls at once with 50 ms each took %s", took)
	}
	server.Resume()
	expectRecovery(t, c)
}

func TestRestart(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(*testkit.Server){
		"stopped": (*testkit.Server).Stop,
		"killed":  (*testkit.Server).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testkit.StartRedis(t)
			c := open(t, server.URL())
			fill(t, c, login(1, 5))
			stop(server)
			expectUnavailable(t, everything(t.Context(), c, 200*time.Millisecond))
			server.Start()
			expectRecovery(t, c)
		})
	}
}

// A server that started again may hold less than it did: whoever asks is told.
func TestARestartIsAnotherGeneration(t *testing.T) {
	t.Parallel()
	server := testkit.StartRedis(t)
	c := open(t, server.URL())
	counters := c.Counters()
	first := counters.Generation()
	if first == 0 {
		t.Error("the first server makes no generation")
	}
	for range 3 {
		if _, _, err := counters.Count(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	if now := counters.Generation(); now != first {
		t.Errorf("generation %d became %d without another server", first, now)
	}
	server.Stop()
	server.Start()
	testkit.Eventually(t, patience, "an answer", func() bool {
		_, _, err := counters.Count(t.Context(), "a")
		return err == nil
	})
	if now := counters.Generation(); now == first {
		t.Errorf("after a restart it is still generation %d", now)
	}
}

func TestUnreachableAtOpen(t *testing.T) {
	t.Parallel()
	server := testkit.StartRedis(t)
	server.Stop()
	c := open(t, server.URL())
	expectUnavailable(t, everything(t.Context(), c, 200*time.Millisecond))
	server.Start()
	expectRecovery(t, c)
}

// TestRefusedWrites: a full server, and one that became a replica, refuse writes.
// That's an outage for who writes; and it passes.
func TestRefusedWrites(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		begin, end []any
	}{
		{"full", []any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"}},
		{"replica", []any{"REPLICAOF", "127.0.0.1", "1"}, []any{"REPLICAOF", "NO", "ONE"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := testkit.StartRedis(t).URL()
			client, r := open(t, url), raw(t, url)
			fill(t, client, login(1, 5))
			do(t, r, c.begin...)
			errs := everything(t.Context(), client, patience)
			for _, name := range []string{"Publish", "Fill", "Take"} {
				if !errors.Is(errs[name], event.ErrUnavailable) {
					t.Errorf("%s: %v", name, errs[name])
				}
			}
			do(t, r, c.end...)
			expectRecovery(t, client)
		})
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	c := open(t, testkit.Redis(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range everything(ctx, c, time.Second) {
		if !errors.Is(err, context.Canceled) || errors.Is(err, event.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPasswordStaysSecret(t *testing.T) {
	t.Parallel()
	server := testkit.StartRedis(t)
	address := hostOf(t, server.URL())
	do(t, raw(t, server.URL()), "ACL", "SETUSER", "replica", "on", ">right-hunter2", "~analytics:*", "+@all")

	right := open(t, "redis://replica:right-hunter2@"+address)
	for name, err := range everything(t.Context(), right, patience) {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	wrong := open(t, "redis://replica:wrong-hunter2@"+address)
	nobody := open(t, "redis://hunter2:hunter2@"+address)
	// The server waits for a line where the client waits for the handshake.
	tls := openWith(t, redis.Config{URL: "rediss://replica:right-hunter2@" + address})
	check := func(when string, clients ...*redis.Client) {
		for _, c := range clients {
			errs := everything(t.Context(), c, 500*time.Millisecond)
			expectUnavailable(t, errs)
			for name, err := range errs {
				if err != nil && strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s: %s shows the password: %v", when, name, err)
				}
			}
		}
	}
	check("refused", wrong, nobody, tls)
	server.Stop()
	check("server away", right, wrong, nobody, tls)

	for _, url := range []string{"redis://:hunter2@h:x", "redis://:hun/ter2@h", "http://:hunter2@h"} {
		_, err := redis.Open(t.Context(), redis.Config{URL: url, Namespace: namespace})
		if err == nil || strings.Contains(err.Error(), "hun") {
			t.Errorf("a URL that can't be read: %v", err)
		}
	}
}

func hostOf(t *testing.T, url string) string {
	t.Helper()
	o, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return o.Addr
}

func TestNamespaces(t *testing.T) {
	t.Parallel()
	url := testkit.Redis(t)
	mine := open(t, url)
	fill(t, mine, login(1, 5))
	take(t, mine, 100)
	other := openWith(t, redis.Config{URL: url, Namespace: "other", DialTimeout: patience, IOTimeout: patience})
	expectCount(t, other, 0, false)
	take(t, other, 1)
	if _, err := redis.Open(t.Context(), redis.Config{URL: url}); err == nil {
		t.Error("a missing namespace was accepted")
	}
}

func TestKeysExpire(t *testing.T) {
	t.Parallel()
	url := testkit.Redis(t)
	c, r := open(t, url), raw(t, url)
	take(t, c, 50)
	fill(t, c, login(1, 5))
	for key, life := range map[string]time.Duration{clientKey: 30 * time.Minute, loginKey: 7 * 24 * time.Hour} {
		left, err := r.PTTL(t.Context(), key).Result()
		if err != nil || left > life || left < life-time.Minute {
			t.Errorf("%s lives for %s more, %v; expected %s", key, left, err, life)
		}
	}
	keys, err := r.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 2 {
		t.Errorf("keys %v, %v", keys, err)
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	server := testkit.StartRedis(t, "--cluster-enabled", "yes")
	r := raw(t, server.URL())
	do(t, r, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	c := open(t, "redis://"+hostOf(t, server.URL())+"?cluster=true")
	expectRecovery(t, c)
	var totals []event.Total
	for i := range 50 {
		totals = append(totals, event.Total{Type: fmt.Sprint("type", i), Slot: 1, Count: 7})
	}
	do(t, r, "SCRIPT", "FLUSH")
	if err := c.Counters().Publish(t.Context(), totals); err != nil {
		t.Fatal(err)
	}
	forget(t, c)
	fill(t, c, login(1, 5))
	expectCount(t, c, 5, true)
	do(t, r, "CLUSTER", "DELSLOTSRANGE", "0", "16383")
	expectUnavailable(t, map[string]error{"Count": everything(t.Context(), c, time.Second)["Count"]})
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	server := testkit.StartRedis(t)
	sentinel := startSentinel(t, hostOf(t, server.URL()))
	c := open(t, "redis://"+sentinel+"/0?master_name=main")
	expectRecovery(t, c)
	forget(t, c)
	fill(t, c, login(1, 5))
	expectCount(t, c, 5, true)
}

// startSentinel starts a sentinel that watches the server at address as "main", and
// returns its own address.
func startSentinel(t *testing.T, address string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	own := testkit.FreePort(t)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("bind 127.0.0.1\nport %d\nsentinel monitor main %s %s 1\n", own, host, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	process := exec.CommandContext(t.Context(), program, file, "--sentinel")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Wait() }) // the test's context has ended by then
	return fmt.Sprintf("127.0.0.1:%d", own)
}

func BenchmarkTake(b *testing.B) {
	c, err := redis.Open(b.Context(), redis.Config{URL: testkit.Redis(b), Namespace: namespace})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	p := ratelimit.Policy{Quota: 1_000_000_000, Window: time.Minute}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Limits().Take(b.Context(), client, p, 1, 15); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	c, err := redis.Open(b.Context(), redis.Config{URL: testkit.Redis(b), Namespace: namespace})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for _, types := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("%d types", types), func(b *testing.B) {
			totals := make([]event.Total, types)
			for i := range totals {
				totals[i] = event.Total{Type: fmt.Sprint("type", i), Slot: 1}
			}
			b.ReportAllocs()
			for b.Loop() {
				for i := range totals {
					totals[i].Count++
				}
				if err := c.Counters().Publish(b.Context(), totals); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
