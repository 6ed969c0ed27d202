package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"highload.example/analytics/impl/testkit"
)

func TestEmbeddedQuickstart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, "DATA_DIR="+dir)
	for _, line := range []string{"deployment  embedded", dir, s.URL + "/docs", s.URL + "/metrics"} {
		if !strings.Contains(s.out(), line) {
			t.Errorf("the banner lacks %q:\n%s", line, s.out())
		}
	}
	if a := s.send(login); a.status != http.StatusAccepted || a.body != `{"status":"received"}` {
		t.Errorf("answered %d %s", a.status, a.body)
	}
	if got := s.count("login"); got != `{"event_type":"login","count":1}` {
		t.Errorf("counted %s", got)
	}
	// A second process on the same directory is refused in one line.
	code, _, errs := run(t, nil, "ADDR=127.0.0.1:0", "DATA_DIR="+dir, "LOG_LEVEL=ERROR")
	if code != 1 || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, dir) || !strings.Contains(errs, "in use") {
		t.Errorf("a second process: %d %q", code, errs)
	}
	// A restart keeps everything, after an orderly end and after none.
	s.stop()
	s = start(t, "DATA_DIR="+dir)
	if got := s.count("login"); got != counted("login", 1) {
		t.Errorf("after a restart: %s", got)
	}
	s.send(login)
	s.kill()
	s = start(t, "DATA_DIR="+dir)
	if got := s.count("login"); got != counted("login", 2) {
		t.Errorf("after kill -9: %s", got)
	}
}

func TestReplicasShareCountsAndLimits(t *testing.T) {
	t.Parallel()
	redis := testkit.StartRedis(t)
	env := []string{"PG_URL=" + testkit.EmptyPostgres(t), "REDIS_URL=" + redis.URL(), "RATE_LIMIT=0"}
	// All at once on an empty database.
	replicas := make([]*server, 3)
	for i := range replicas {
		replicas[i] = launch(t, env...)
	}
	for _, s := range replicas {
		s.awaitReady()
	}
	sent := 0
	check := func(when string) {
		t.Helper()
		for i, s := range replicas {
			if got := s.count("shared"); got != counted("shared", sent) {
				t.Errorf("%s, replica %d: %s, want %d", when, i, got, sent)
			}
		}
	}
	// send sends an event to a replica, and checks that all count it at once. When Redis
	// didn't take the count in its time, as on a busy machine, they do after the next
	// reconciliation, and another event is sent.
	send := func(to *server, when string) {
		t.Helper()
		failures := func() float64 { return to.metric("analytics_live_counts_failures_total") }
		testkit.Eventually(t, patience, "Redis to take a count in time", func() bool {
			before := failures()
			inUse := before == 0 || countsComeFromRedis(to)
			if a := to.send(numbered("shared", sent)); a.status != http.StatusAccepted {
				t.Fatalf("answered %d %s", a.status, a.body)
			}
			sent++
			if inUse && failures() == before {
				check(when)
				return true
			}
			awaitCounts(t, replicas, sent)
			return false
		})
	}
	for range 4 {
		for _, s := range replicas {
			send(s, "after each event")
		}
		flush(t, redis.URL())
		check("after FLUSHALL")
	}
	// Every event once more, to another replica: duplicates, and not counted.
	for n := range sent {
		a := replicas[(n+1)%3].send(numbered("shared", n))
		if a.status != http.StatusAccepted || a.header.Get("Event-Status") != "duplicate" {
			t.Errorf("a repeat was answered %d %v", a.status, a.header)
		}
	}
	check("after repeats")
	redis.Stop()
	replicas[0].send(numbered("shared", sent))
	sent++
	awaitCounts(t, replicas, sent)
	redis.Start()
	testkit.Eventually(t, patience, "Redis to be used again", func() bool {
		return strings.Contains(replicas[0].do(http.MethodGet, "/readyz", "").body, `"redis":"ok"`)
	})
	for _, s := range replicas {
		send(s, "after Redis came back")
	}
}

// countsComeFromRedis says whether a replica uses Redis at the moment: after a failure it
// leaves it alone for a while.
func countsComeFromRedis(s *server) bool {
	const series = `analytics_counts_answered_total{source="live"}`
	before := s.metric(series)
	s.count("shared")
	return s.metric(series) > before
}

// awaitCounts waits until all replicas have counted so many events.
func awaitCounts(t *testing.T, replicas []*server, sent int) {
	t.Helper()
	testkit.Eventually(t, patience, fmt.Sprintf("all replicas to count %d", sent), func() bool {
		return !slices.ContainsFunc(replicas, func(s *server) bool { return s.count("shared") != counted("shared", sent) })
	})
}

// flush empties a Redis server that is the test's own.
func flush(t *testing.T, url string) {
	t.Helper()
	command := exec.Command("redis-cli", "-u", url, "flushall")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("redis-cli flushall: %v %s", err, out)
	}
}

func TestReplicasShareTheLimit(t *testing.T) {
	t.Parallel()
	env := []string{"PG_URL=" + testkit.Postgres(t), "REDIS_URL=" + testkit.Redis(t), "RATE_LIMIT=10", "TRUSTED_PROXIES=127.0.0.0/8"}
	replicas := []*server{start(t, env...), start(t, env...)}
	ask := func(i, client int) answer {
		return replicas[i%2].do(http.MethodGet, "/stats/login", "", "X-Forwarded-For", fmt.Sprint("203.0.113.", client))
	}
	remaining := func(a answer, n int) bool {
		return strings.HasPrefix(a.header.Get("RateLimit"), fmt.Sprintf(`"default";r=%d;`, n))
	}
	failures := func() (sum float64) {
		for _, s := range replicas {
			sum += s.metric("analytics_rate_limit_shared_failures_total")
		}
		return sum
	}
	// A replica for which Redis didn't answer in its time, as on a busy machine, limits by
	// itself for a while. Then other clients are tried.
	client := 0
	testkit.Eventually(t, patience, "Redis to answer in time", func() bool {
		before := failures()
		client++
		if !remaining(ask(0, client), 9) || !remaining(ask(1, client), 8) {
			return false
		}
		client++
		got := map[int]int{}
		began := time.Now()
		for i := range 14 {
			a := ask(i, client)
			got[a.status]++
			if a.header.Get("RateLimit-Policy") != `"default";q=10;w=60` || !strings.HasPrefix(a.header.Get("RateLimit"), `"default";r=`) {
				t.Errorf("the RateLimit fields are %v", a.header)
			}
			if a.status == http.StatusTooManyRequests {
				if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 6 {
					t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
				}
				if p := problemOf(t, a); p.Code != "rate_limited" {
					t.Errorf("the code is %s", p.Code)
				}
			}
		}
		back := int(time.Since(began) / (6 * time.Second)) // tokens that came back meanwhile
		if failures() != before {
			return false
		}
		if got[http.StatusOK] < 10 || got[http.StatusOK] > 10+back || got[http.StatusTooManyRequests] != 14-got[http.StatusOK] {
			t.Errorf("answers by status: %v, want 10 times 200, and %d more at most", got, back)
		}
		return true
	})
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/docs", "/docs/swagger-ui.css", "/openapi.yaml", "/openapi.json", "/"} {
		if a := replicas[0].do(http.MethodGet, path, "", "X-Forwarded-For", fmt.Sprint("203.0.113.", client)); a.status != http.StatusOK || a.header.Get("RateLimit") != "" {
			t.Errorf("%s is not exempt: %d %v", path, a.status, a.header)
		}
	}
	if a := ask(0, client+1); a.status != http.StatusOK {
		t.Errorf("another client got %d", a.status)
	}
}

// traffic sends numbered events from several goroutines until told to stop, and
// knows what was answered to each.
type traffic struct {
	t       *testing.T
	next    atomic.Int64
	senders sync.WaitGroup
	stop    context.CancelFunc

	mu       sync.Mutex
	accepted map[int]bool // answered 202
	unknown  []int        // not answered, or not with 202 or a 4xx
	broken   []error      // of connections that broke in the middle
	statuses map[int]int
}

func startTraffic(t *testing.T, eventType string, targets func(n int) *server) *traffic {
	ctx, cancel := context.WithCancel(context.Background())
	tr := &traffic{t: t, stop: cancel, accepted: map[int]bool{}, statuses: map[int]int{}}
	for range 8 {
		tr.senders.Go(func() {
			for ctx.Err() == nil {
				n, refused := int(tr.next.Add(1))-1, false
				a, err := targets(n).try(context.Background(), http.MethodPost, "/event", numbered(eventType, n))
				tr.mu.Lock()
				switch {
				case err != nil && isRefused(err):
					// Never sent: nothing listens there.
					tr.unknown = append(tr.unknown, n)
					refused = true
				case err != nil:
					tr.broken = append(tr.broken, err)
					tr.unknown = append(tr.unknown, n)
				case a.status == http.StatusAccepted:
					tr.accepted[n] = true
				default:
					tr.unknown = append(tr.unknown, n)
				}
				if err == nil {
					tr.statuses[a.status]++
				}
				tr.mu.Unlock()
				if refused { // each of them is sent again at the end: a few will do
					select {
					case <-ctx.Done():
					case <-time.After(20 * time.Millisecond):
					}
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); tr.senders.Wait() })
	return tr
}

// isRefused says whether no connection came about: nothing was sent.
func isRefused(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) && operation.Op == "dial"
}

func (tr *traffic) answered() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.accepted)
}

func (tr *traffic) end() {
	tr.stop()
	tr.senders.Wait()
}

// settle repeats whatever wasn't accepted until it is, and returns how many
// different events were sent.
func (tr *traffic) settle(s *server, eventType string) int {
	tr.t.Helper()
	for _, n := range tr.unknown {
		if a := s.send(numbered(eventType, n)); a.status != http.StatusAccepted {
			tr.t.Errorf("a repeat was answered %d %s", a.status, a.body)
		}
	}
	return int(tr.next.Load())
}

// checkStored sends every accepted event again: each must be a duplicate.
func (tr *traffic) checkStored(s *server, eventType string) {
	tr.t.Helper()
	numbers := make(chan int)
	var senders sync.WaitGroup
	for range 16 {
		senders.Go(func() {
			for n := range numbers {
				a, err := s.try(context.Background(), http.MethodPost, "/event", numbered(eventType, n))
				if err != nil || a.header.Get("Event-Status") != "duplicate" {
					tr.t.Errorf("event %d was accepted, but is not stored: %v %d %s", n, err, a.status, a.body)
				}
			}
		})
	}
	for n := range tr.accepted {
		numbers <- n
	}
	close(numbers)
	senders.Wait()
}

func TestTerminationUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	for name, deployment := range deployments {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := append(deployment(t), "RATE_LIMIT=0")
			s := start(t, append(env, "SHUTDOWN_DELAY=1s")...)
			tr := startTraffic(t, "load", func(int) *server { return s })
			testkit.Eventually(t, patience, "some traffic", func() bool { return tr.answered() > 300 })
			s.stop()
			tr.end()
			if len(tr.broken) > 0 {
				t.Errorf("%d connections broke: %v", len(tr.broken), errors.Join(tr.broken...))
			}
			for status := range tr.statuses {
				if status != http.StatusAccepted {
					t.Errorf("answers by status: %v", tr.statuses)
				}
			}
			s = start(t, env...)
			tr.checkStored(s, "load")
			sent := tr.settle(s, "load")
			if got := s.count("load"); got != counted("load", sent) {
				t.Errorf("counted %s, want %d", got, sent)
			}
		})
	}
}

func TestKillUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	for name, deployment := range deployments {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := append(deployment(t), "RATE_LIMIT=0")
			s := start(t, env...)
			tr := startTraffic(t, "load", func(int) *server { return s })
			testkit.Eventually(t, patience, "some traffic", func() bool { return tr.answered() > 300 })
			s.kill()
			tr.end()
			s = start(t, env...)
			tr.checkStored(s, "load")
			sent := tr.settle(s, "load")
			// Redis may lag behind by what was committed and not published.
			testkit.Eventually(t, patience, fmt.Sprintf("the count to be %d", sent), func() bool {
				return s.count("load") == counted("load", sent)
			})
		})
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t, "DATA_DIR="+t.TempDir(), "SHUTDOWN_DELAY=10m")
	s.Process().ExpectEnd()
	if err := s.Process().Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, patience, "readiness to be 503", func() bool {
		a := s.do(http.MethodGet, "/readyz", "")
		return a.status == http.StatusServiceUnavailable && strings.Contains(a.body, "stopping") && a.header.Get("Retry-After") != ""
	})
	// It still serves: balancers need a moment to look elsewhere.
	if a := s.send(login); a.status != http.StatusAccepted {
		t.Errorf("while stopping: %d %s", a.status, a.body)
	}
	// A repeat that follows at once would be taken for the same signal.
	testkit.Eventually(t, patience, "the second signal to end it", func() bool {
		_ = s.Process().Signal(syscall.SIGTERM) // fails when it has ended
		return !s.Running()
	})
	if code := s.Process().ExitCode(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}

func TestDatabaseOutages(t *testing.T) {
	t.Parallel()
	pg := testkit.StartPostgres(t)
	s := start(t, "PG_URL="+pg.URL(), "REDIS_URL="+testkit.Redis(t), "RATE_LIMIT=0", "REQUEST_TIMEOUT=2s")
	n := 0
	sendOne := func() answer {
		n++
		return s.send(numbered("outage", n-1))
	}
	if a := sendOne(); a.status != http.StatusAccepted {
		t.Fatalf("answered %d %s", a.status, a.body)
	}
	outages := map[string][2]func(){
		"stopped": {pg.Stop, pg.Start},
		"killed":  {pg.Kill, pg.Start},
		"hanging": {pg.Pause, pg.Resume},
	}
	for name, outage := range outages {
		begin, finish := outage[0], outage[1]
		begin()
		// Each request is answered by its deadline, with a problem and when to retry.
		for range 3 {
			started := time.Now()
			a := sendOne()
			if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || problemOf(t, a).Code != "unavailable" {
				t.Errorf("%s: answered %d %v %s", name, a.status, a.header, a.body)
			}
			if took := time.Since(started); took > patience { // as long as the database is away
				t.Errorf("%s: answered after %s", name, took)
			}
		}
		testkit.Eventually(t, patience, "readiness to be 503", func() bool {
			return s.do(http.MethodGet, "/readyz", "").status == http.StatusServiceUnavailable
		})
		if a := s.do(http.MethodGet, "/healthz", ""); a.status != http.StatusOK {
			t.Errorf("%s: not alive: %d", name, a.status)
		}
		finish()
		testkit.Eventually(t, patience, "events to be taken again", func() bool {
			return s.send(numbered("outage", 0)).status == http.StatusAccepted
		})
		// Whatever was answered 503 converges when it is sent again.
		for i := range n {
			testkit.Eventually(t, patience, fmt.Sprintf("%s: the repeat of %d to be accepted", name, i), func() bool {
				return s.send(numbered("outage", i)).status == http.StatusAccepted
			})
		}
		testkit.Eventually(t, patience, "the count to be right", func() bool { return s.count("outage") == counted("outage", n) })
	}
	// A restart within the request's time is waited out.
	s.stop()
	s = start(t, "PG_URL="+pg.URL(), "RATE_LIMIT=0")
	pg.Stop()
	done := make(chan answer, 1)
	go func() {
		a, _ := s.try(context.Background(), http.MethodPost, "/event", numbered("outage", n))
		done <- a
	}()
	testkit.Eventually(t, patience, "the event to be tried", func() bool { return s.metric("analytics_ingest_batch_retries_total") > 0 })
	pg.Start()
	if a := <-done; a.status != http.StatusAccepted {
		t.Errorf("during a blip: answered %d %s", a.status, a.body)
	}
}

func TestRedisOutages(t *testing.T) {
	t.Parallel()
	redis := testkit.StartRedis(t)
	s := start(t, "PG_URL="+testkit.Postgres(t), "REDIS_URL="+redis.URL(), "RATE_LIMIT=1000000")
	n := 0
	sendSome := func(when string) {
		t.Helper()
		for range 20 {
			if a := s.send(numbered("outage", n)); a.status != http.StatusAccepted || a.header.Get("RateLimit") == "" {
				t.Fatalf("%s: answered %d %v %s", when, a.status, a.header, a.body)
			}
			n++
		}
		if got := s.count("outage"); got != counted("outage", n) {
			t.Errorf("%s: counted %s, want %d", when, got, n)
		}
	}
	sendSome("before")
	for name, outage := range map[string][2]func(){
		"stopped": {redis.Stop, redis.Start},
		"killed":  {redis.Kill, redis.Start},
		"hanging": {redis.Pause, redis.Resume},
	} {
		outage[0]()
		sendSome(name)
		outage[1]()
		sendSome(name + ", and back")
	}
	testkit.Eventually(t, patience, "it to be ready", func() bool { return s.do(http.MethodGet, "/readyz", "").status == http.StatusOK })
}

func TestMetricsSayWhatHappened(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *server) {
		s.send(numbered("metered", 0))
		s.send(numbered("metered", 0))
		s.send(`{}`)
		s.count("metered")
		a := s.do(http.MethodGet, "/metrics", "")
		for _, line := range []string{
			`analytics_events_total{outcome="accepted"} 1`,
			`analytics_events_total{outcome="duplicate"} 1`,
			`analytics_http_requests_total{method="POST",route="/event",status="202"} 2`,
			`analytics_http_requests_total{method="POST",route="/event",status="422"} 1`,
			`analytics_http_requests_total{method="GET",route="/stats/{event_type}",status="200"} 1`,
			`analytics_rate_limit_decisions_total{decision="allowed"} 4`,
			`analytics_ingest_queue_events 0`,
			`analytics_ingest_batch_events_count 2`,
			`analytics_dependency_up{dependency="database"} 1`,
			`analytics_live_counts_drift_types 0`,
		} {
			if !strings.Contains(a.body, line+"\n") {
				t.Errorf("the metrics lack %s:\n%s", line, a.body)
			}
		}
		if strings.Contains(a.body, "metered") || strings.Contains(a.body, "127.0.0.1") {
			t.Error("an event type or an address is a label")
		}
	})
}

func TestDocumentationIsServed(t *testing.T) {
	t.Parallel()
	s := start(t, "DATA_DIR="+t.TempDir())
	for path, want := range map[string]struct{ contentType, content string }{
		"/":                       {"application/json", `"docs":"/docs"`},
		"/docs":                   {"text/html; charset=utf-8", "swagger-ui-bundle.js"},
		"/docs/initializer.js":    {"text/javascript; charset=utf-8", "openapi.yaml"},
		"/docs/swagger-ui.css":    {"text/css; charset=utf-8", ".swagger-ui"},
		"/openapi.yaml":           {"application/yaml", "openapi: 3.0.3"},
		"/openapi.json":           {"application/json", `"openapi":"3.0.3"`},
		"/docs/favicon-32x32.png": {"image/png", "PNG"},
	} {
		a := s.do(http.MethodGet, path, "")
		if a.status != http.StatusOK || a.header.Get("Content-Type") != want.contentType || !strings.Contains(a.body, want.content) {
			t.Errorf("%s: %d %s, %d bytes", path, a.status, a.header.Get("Content-Type"), len(a.body))
		}
		if tag := a.header.Get("ETag"); tag == "" {
			t.Errorf("%s has no ETag", path)
		} else if again := s.do(http.MethodGet, path, "", "If-None-Match", tag); again.status != http.StatusNotModified {
			t.Errorf("%s: %d for who has it", path, again.status)
		}
	}
	if a := s.do(http.MethodGet, "/docs/nothing.js", ""); a.status != http.StatusNotFound {
		t.Errorf("a made-up asset: %d", a.status)
	}
	var document map[string]any
	if err := json.Unmarshal([]byte(s.do(http.MethodGet, "/openapi.json", "").body), &document); err != nil {
		t.Error(err)
	}
}
