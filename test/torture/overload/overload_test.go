package overload_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"highload.example/analytics/impl/app"
	"highload.example/analytics/impl/testkit"
	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/load/generator"
	"highload.example/analytics/test/torture/overload"
)

// asProgram makes the test binary be the product's program.
const asProgram = "ANALYTICS_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(app.Main("test", os.Args[1:], os.Stdout, os.Stderr))
	}
	testkit.Main(m)
}

// small is a little of everything, with bounds that a machine keeps on which other
// tests run.
func small(t *testing.T, server harness.Target, database overload.Database) overload.Config {
	t.Helper()
	source, err := generator.NewSource(generator.Config{Seed: 1, Run: 1, Users: 1000, Spread: time.Hour, Base: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return overload.Config{
		Server: server, Database: database, Source: source, Ledger: &generator.Ledger{},
		Factors: []float64{0.5, 5}, Connections: 300, Probe: 50,
		Stretch: 2 * time.Second, WarmUp: time.Second, FastDelay: 20 * time.Millisecond, SlowDelay: 60 * time.Millisecond, RequestTimeout: 4 * time.Second,
		Bounds: overload.Bounds{Share: 0.2, Refusal: 5 * time.Second, Memory: 1 << 30, Recovery: 10 * time.Second},
	}
}

// real is PostgreSQL behind a stretch of network.
type real struct {
	server  *testkit.Server
	network *harness.Proxy
	stopped bool
}

func (r *real) Slow(delay time.Duration) error {
	if delay == 0 {
		return r.network.Set(harness.Healthy, 0)
	}
	return r.network.Set(harness.Delayed, delay)
}

func (r *real) Stop() error   { r.stopped = true; return r.server.Server.Pause() }
func (r *real) Resume() error { r.stopped = false; return r.server.Server.Resume() }

func TestTheProductSheds(t *testing.T) {
	t.Parallel()
	database := &real{server: testkit.StartPostgres(t)}
	direct, err := url.Parse(database.server.URL())
	if err != nil {
		t.Fatal(err)
	}
	database.network, err = harness.NewProxy("database", fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t)), direct.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(database.network.Close)
	through := *direct
	through.Host = database.network.Address()

	address := fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t))
	command := exec.Command(os.Args[0])
	command.Env = []string{
		asProgram + "=1", "ADDR=" + address, "PG_URL=" + through.String(), "RATE_LIMIT=0", "LOG_LEVEL=ERROR",
		"REQUEST_TIMEOUT=4s", "MAX_IN_FLIGHT_REQUESTS=100", // so that little is too much
	}
	var log bytes.Buffer
	command.Stderr = &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt) // fails when it has ended
		if err := command.Wait(); err != nil || t.Failed() {
			t.Errorf("the server ended with %v, and wrote:\n%s", err, log.Bytes())
		}
	})
	server := harness.Target{Name: "server", URL: "http://" + address, PID: command.Process.Pid}
	testkit.Eventually(t, time.Minute, "the server", func() bool {
		_, err := server.Metrics(t.Context())
		return err == nil
	})

	c := small(t, server, database)
	turns, err := overload.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	refused := int64(0)
	for _, turn := range turns {
		t.Log(turn)
		refused += turn.Statuses["503"]
		if len(turn.Violations) > 0 {
			t.Errorf("%s", turn)
		}
	}
	if len(turns) != 7 || refused == 0 || database.stopped {
		t.Errorf("%d turns, %d refusals, stopped %t", len(turns), refused, database.stopped)
	}
	// What was accepted is there, once.
	conn, err := pgx.Connect(t.Context(), direct.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	audit := generator.NewAudit(c.Source, c.Ledger)
	rows, err := conn.Query(t.Context(), "SELECT event_id, user_id, extract(epoch FROM occurred_at)::bigint, event_type FROM events")
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for rows.Next() {
		var row generator.Row
		if err := rows.Scan((*[16]byte)(&row.ID), &row.UserID, &row.OccurredAt, &row.Type); err != nil {
			t.Fatal(err)
		}
		audit.Row(row)
		n++
	}
	if findings := audit.Finish(n); rows.Err() != nil || findings.Err() != nil || findings.Accepted == 0 {
		t.Errorf("%v %v", rows.Err(), findings.Err())
	}
}

// pretend is a database that isn't there.
type pretend struct{}

func (pretend) Slow(time.Duration) error { return nil }
func (pretend) Stop() error              { return nil }
func (pretend) Resume() error            { return nil }

func TestBrokenServersAreCaught(t *testing.T) {
	t.Parallel()
	for _, broken := range []struct {
		want   string
		handle func(w http.ResponseWriter, inFlight int64)
	}{
		{"refusals took", func(w http.ResponseWriter, inFlight int64) {
			if inFlight > 60 { // says no, and takes its time
				<-time.After(600 * time.Millisecond)
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			<-time.After(20 * time.Millisecond)
			w.WriteHeader(http.StatusAccepted)
		}},
		{"of the peak", func(w http.ResponseWriter, inFlight int64) {
			if inFlight > 60 { // thrashes
				<-time.After(2 * time.Second)
			}
			<-time.After(20 * time.Millisecond)
			w.WriteHeader(http.StatusAccepted)
		}},
		{"requests ended with 500", func(w http.ResponseWriter, inFlight int64) {
			<-time.After(20 * time.Millisecond)
			status := http.StatusAccepted
			if inFlight > 60 {
				status = http.StatusInternalServerError
			}
			w.WriteHeader(status)
		}},
		{"while the database was stopped", func(w http.ResponseWriter, _ int64) {
			<-time.After(20 * time.Millisecond)
			w.WriteHeader(http.StatusAccepted) // before the commit
		}},
	} {
		t.Run(broken.want, func(t *testing.T) {
			t.Parallel()
			var inFlight atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				defer inFlight.Add(-1)
				broken.handle(w, inFlight.Add(1))
			}))
			defer server.Close()
			c := small(t, harness.Target{Name: "broken", URL: server.URL, PID: os.Getpid()}, pretend{})
			c.Bounds.Refusal = 500 * time.Millisecond
			turns, err := overload.Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(turns, func(turn overload.Turn) bool {
				return strings.Contains(strings.Join(turn.Violations, "\n"), broken.want)
			}) {
				t.Errorf("not caught: %v", turns)
			}
		})
	}
}
