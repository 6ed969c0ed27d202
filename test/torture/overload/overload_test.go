package overload_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
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

func TestMain(m *testing.M) {
	testkit.MainAsProgram(m, func() int { return app.Main("test", os.Args[1:], os.Stdout, os.Stderr) })
}

// small is a little of everything, with bounds that a machine keeps on which other tests
// run.
func small(t *testing.T, server harness.Target, database overload.Database) overload.Config {
	t.Helper()
	source, err := generator.NewSource(generator.Config{Seed: 1, Run: 1, Users: 1000, Spread: time.Hour, Base: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return overload.Config{
		Server: server, Database: database, Source: source, Ledger: &generator.Ledger{},
		Factors: []float64{0.5, loaded}, Connections: 300, Probe: 50, Waiting: 200,
		Stretch: time.Second, WarmUp: 300 * time.Millisecond, Grace: 10 * time.Second,
		FastDelay: 20 * time.Millisecond, SlowDelay: 60 * time.Millisecond, RequestTimeout: requestTimeout,
		// How much a machine can send says nothing about the product.
		Bounds: overload.Bounds{Share: 0.2, Refusal: 5 * time.Second, Recovery: 10 * time.Second, Offered: 0.01},
	}
}

const (
	loaded         = 5 // times saturation
	requestTimeout = 4 * time.Second
	turns          = 2*3 + 2
)

// postgres is PostgreSQL behind a network.
type postgres struct {
	server  *testkit.Server
	network *harness.Proxy
	stopped bool
}

func (p *postgres) Slow(delay time.Duration) error {
	if delay == 0 {
		return p.network.Set(harness.Healthy, 0)
	}
	return p.network.Set(harness.Delayed, delay)
}

func (p *postgres) Stop() error   { p.stopped = true; return p.server.Server.Pause() }
func (p *postgres) Resume() error { p.stopped = false; return p.server.Server.Resume() }

func TestProductShedsLoad(t *testing.T) {
	t.Parallel()
	database := &postgres{server: testkit.StartPostgres(t)}
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

	product := testkit.StartProduct(t, harness.ProductConfig{Env: []string{
		"PG_URL=" + through.String(), "RATE_LIMIT=0", "LOG_LEVEL=ERROR",
		"REQUEST_TIMEOUT=" + requestTimeout.String(), "MAX_IN_FLIGHT_REQUESTS=100", // so that little is too much
	}})

	c := small(t, product.Target(), database)
	all, err := overload.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	refused := int64(0)
	for _, turn := range all {
		t.Log(turn)
		refused += turn.Statuses["503"]
		if len(turn.Violations) > 0 {
			t.Errorf("%s", turn)
		}
	}
	if len(all) != turns || refused == 0 || database.stopped {
		t.Errorf("%d turns, %d refusals, stopped %t", len(all), refused, database.stopped)
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

// noDatabase is that of a server without one.
type noDatabase struct{}

func (noDatabase) Slow(time.Duration) error { return nil }
func (noDatabase) Stop() error              { return nil }
func (noDatabase) Resume() error            { return nil }

// TestBrokenServersAreCaught has servers that are broken when there is too much load. They
// are told when that is: found out by themselves, it would depend on the machine.
func TestBrokenServersAreCaught(t *testing.T) {
	t.Parallel()
	const takes = 20 * time.Millisecond
	accept := func() int {
		<-time.After(takes)
		return http.StatusAccepted
	}
	for _, broken := range []struct {
		want   string
		handle func(overloaded bool, n int64) (status int) // n counts the requests
	}{
		{"refusals took", func(overloaded bool, n int64) int {
			if overloaded && n%2 == 0 { // refuses late
				<-time.After(500 * time.Millisecond)
				return http.StatusServiceUnavailable
			}
			return accept()
		}},
		{"of the peak", func(overloaded bool, n int64) int {
			if overloaded && n%200 != 0 { // is busy with refusing
				return http.StatusServiceUnavailable
			}
			return accept()
		}},
		{"requests ended with 500", func(overloaded bool, n int64) int {
			if overloaded && n%2 == 0 {
				<-time.After(takes)
				return http.StatusInternalServerError
			}
			return accept()
		}},
		{"while the database was stopped", func(bool, int64) int {
			return accept() // before the commit
		}},
	} {
		t.Run(broken.want, func(t *testing.T) {
			t.Parallel()
			var overloaded atomic.Bool
			var requests atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(broken.handle(overloaded.Load(), requests.Add(1)))
			}))
			defer server.Close()
			c := small(t, harness.Target{Name: "broken", URL: server.URL, PID: os.Getpid()}, noDatabase{})
			c.Bounds.Refusal, c.RequestTimeout = 300*time.Millisecond, 100*time.Millisecond
			c.Begin = func(_ string, factor float64) { overloaded.Store(factor == loaded) }
			all, err := overload.Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(all, func(turn overload.Turn) bool {
				return strings.Contains(strings.Join(turn.Violations, "\n"), broken.want)
			}) {
				t.Errorf("not caught: %v", all)
			}
		})
	}
}
