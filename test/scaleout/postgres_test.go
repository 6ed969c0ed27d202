package scaleout_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"highload.example/analytics/impl/testkit"
	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/fleet"
	"highload.example/analytics/test/fleet/fleettest"
)

// pair is PostgreSQL with a synchronous standby.
type pair struct {
	primary, standby *harness.Server
	link             *harness.Proxy // between them
	url              string         // for the product: both
}

func startPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{}
	var err error
	if p.primary, err = harness.StartPostgres(harness.PostgresConfig{}); err != nil {
		testkit.StartFailed(t, err)
	}
	t.Cleanup(p.primary.Remove)
	p.standby, err = harness.StartStandby(p.primary, "standby", harness.PostgresConfig{})
	fleettest.Must(t, err)
	t.Cleanup(p.standby.Remove)
	address, err := harness.FreeAddress("127.0.0.1")
	fleettest.Must(t, err)
	p.link, err = harness.NewProxy("primary to standby", address, fmt.Sprintf("127.0.0.1:%d", p.primary.Port()))
	fleettest.Must(t, err)
	t.Cleanup(p.link.Close)
	_, port, err := net.SplitHostPort(address)
	fleettest.Must(t, err)
	execute(t, p.standby.URL(), "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port="+port+" user=postgres application_name=standby'", "SELECT pg_reload_conf()")
	execute(t, p.primary.URL(), "ALTER SYSTEM SET synchronous_standby_names = 'standby'", "SELECT pg_reload_conf()")
	testkit.Eventually(t, hangTimeout, "the standby to follow through the link", func() bool {
		return p.link.Open() > 0 && value(t, p.primary.URL(), "SELECT coalesce(max(sync_state), '') FROM pg_stat_replication WHERE state = 'streaming'") == "sync"
	})
	p.url = fmt.Sprintf("postgres://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=disable&connect_timeout=2", p.primary.Port(), p.standby.Port())
	return p
}

// failOver crashes the primary, which stays away, as it must when a standby is promoted.
func (p *pair) failOver(t *testing.T) {
	t.Helper()
	fleettest.Must(t, p.primary.Kill())
	fleettest.Must(t, p.standby.Promote())
}

func execute(t *testing.T, url string, statements ...string) {
	t.Helper()
	for _, s := range statements {
		fleettest.Must(t, harness.Execute(t.Context(), url, s))
	}
}

// value returns a query's only value, or the error's text.
func value(t *testing.T, url, query string) (v string) {
	t.Helper()
	conn, err := harness.Connect(t.Context(), url)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close(context.Background()) }() // it only read
	if err := conn.QueryRow(t.Context(), query, pgx.QueryExecModeSimpleProtocol).Scan(&v); err != nil {
		return err.Error()
	}
	return v
}

func TestPostgresFailover(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	f := fleettest.Open(t, fleet.Config{Env: []string{"PG_URL=" + p.url, "REDIS_URL=" + testkit.StartRedis(t).URL()}})
	traffic := startTraffic(t, f, types()...)
	traffic.Await()
	p.failOver(t)
	traffic.Await()
	awaitReadyz(t, f, `"database":"ok"`)
	traffic.Check(p.standby.URL())
	traffic.ExpectResponses("POST 503", "retries in 202", "GET 503")
}

// A commit that waits for the standby can be given up, and then the row is there, on the
// primary alone. A client that sends the event again mustn't be told that it is stored.
func TestDuplicateWaitsForStandby(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	f := fleettest.Open(t, fleet.Config{Replicas: 1, Env: []string{"PG_URL=" + p.url, "REDIS_URL=" + testkit.StartRedis(t).URL(), "REQUEST_TIMEOUT=2s"}})
	client := fleettest.Client(t)
	// send reports whether an event was accepted; the alternative is 503.
	send := func(n int) bool {
		t.Helper()
		body := fmt.Sprintf(`{"user_id":1,"event_type":"waits","timestamp":1690000000,"event_id":%q}`, eventID(0, n))
		response, err := client.Post(f.Replicas[0].URL+"/event", "application/json", strings.NewReader(body))
		fleettest.Must(t, err)
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusAccepted && response.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s %s", response.Status, errors.Join(errors.New(string(text)), err))
		}
		return response.StatusCode == http.StatusAccepted
	}
	if !send(0) {
		t.Fatal("the first event isn't accepted")
	}
	fleettest.Must(t, p.link.Set(harness.HalfOpen, 0))
	// Each try is given up after a while: of a writer's claim for a slot first, it may
	// be, and then of the event. The row is there from then on.
	const rows = "SELECT count(*)::text FROM events"
	accepted := false
	testkit.Eventually(t, hangTimeout, "the row to be there on the primary", func() bool {
		accepted = send(1) || accepted
		return value(t, p.primary.URL(), rows) == "2"
	})
	for range 5 {
		accepted = send(1) || accepted
	}
	p.failOver(t)
	if n := value(t, p.standby.URL(), rows); accepted && n != "2" {
		t.Errorf("an event was accepted, and after the failover there are %s rows", n)
	}
	// In the end it is stored, once.
	testkit.Eventually(t, hangTimeout, "the event to be accepted", func() bool { return send(1) })
	if n := value(t, p.standby.URL(), rows); n != "2" {
		t.Errorf("there are %s rows", n)
	}
}

// eventID returns an ID that no other traffic uses.
func eventID(series, n int) string {
	return fmt.Sprintf("ffff%04x-ac96-774b-bcce-%s", series, strconv.FormatInt(int64(n)+1<<44, 16))
}
