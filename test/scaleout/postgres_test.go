//go:build scaleout

package scaleout_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"highload.example/analytics/impl/testkit"
	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/fleet"
)

// pair is PostgreSQL with a synchronous standby.
type pair struct {
	primary, standby *testkit.Server
	link             *stand.Proxy // between them
	url              string       // for the product: both
}

func startPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{}
	var err error
	if p.primary, err = harness.StartPostgres(harness.PostgresConfig{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.primary.Remove)
	if p.standby, err = harness.StartStandby(p.primary, "standby", harness.PostgresConfig{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.standby.Remove)
	p.link, err = stand.NewProxy("primary to standby", fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t)), fmt.Sprintf("127.0.0.1:%d", p.primary.Port()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.link.Close)
	_, port, _ := strings.Cut(p.link.Address(), ":")
	execute(t, p.standby.URL(), fmt.Sprintf("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=%s user=postgres application_name=standby'", port), "SELECT pg_reload_conf()")
	execute(t, p.primary.URL(), "ALTER SYSTEM SET synchronous_standby_names = 'standby'", "SELECT pg_reload_conf()")
	testkit.Eventually(t, patience, "the standby to follow by the link", func() bool {
		return p.link.Open() > 0 && value(t, p.primary.URL(), "SELECT coalesce(max(sync_state), '') FROM pg_stat_replication WHERE state = 'streaming'") == "sync"
	})
	p.url = fmt.Sprintf("postgres://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=disable&connect_timeout=2", p.primary.Port(), p.standby.Port())
	return p
}

// failOver crashes the primary, which stays away, as whoever promotes a standby
// must make sure.
func (p *pair) failOver(t *testing.T) {
	t.Helper()
	if err := p.primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.standby.Promote(); err != nil {
		t.Fatal(err)
	}
}

func execute(t *testing.T, url string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func value(t *testing.T, url, question string) (v string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		return err.Error()
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), question).Scan(&v); err != nil {
		return err.Error()
	}
	return v
}

func TestPostgresFailsOverToItsStandby(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	f := startFleet(t, 3, "PG_URL="+p.url, "REDIS_URL="+testkit.StartRedis(t).URL())
	tr := f.start(types()...)
	tr.flows()
	p.failOver(t)
	tr.flows()
	f.says(`"database":"ok"`)
	tr.end(p.standby.URL())
	tr.only("202", "503", "GET 503")
}

// A commit that waits for the standby can be given up, and then the row is there, on the
// primary alone. Who sends the event again must not be told that it is safe.
func TestADuplicateWaitsForTheStandbyToo(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	f := startFleet(t, 1, "PG_URL="+p.url, "REDIS_URL="+testkit.StartRedis(t).URL(), "REQUEST_TIMEOUT=2s")
	tr := &traffic{fleet: f, answers: map[string]int{}}
	event := func(n int) string {
		return fmt.Sprintf(`{"user_id":1,"event_type":"waits","timestamp":1690000000,"event_id":%q}`, id(0, n))
	}
	if status := tr.send(f.replicas[0], event(0)); status != http.StatusAccepted {
		t.Fatalf("answered %d", status)
	}
	if err := p.link.Set(stand.Silent, 0); err != nil {
		t.Fatal(err)
	}
	// Each try is given up after a while: of a writer's claim for a slot first, it may
	// be, and then of the event. The row is there from then on.
	accepted := false
	stored := func() bool { return value(t, p.primary.URL(), "SELECT count(*)::text FROM events") == "2" }
	testkit.Eventually(t, patience, "the row to be there on the primary", func() bool {
		accepted = tr.send(f.replicas[0], event(1)) == http.StatusAccepted || accepted
		return stored()
	})
	for range 5 {
		accepted = tr.send(f.replicas[0], event(1)) == http.StatusAccepted || accepted
	}
	p.failOver(t)
	rows := value(t, p.standby.URL(), "SELECT count(*)::text FROM events")
	if accepted && rows != "2" {
		t.Errorf("an event was accepted, and after the failover there are %s rows", rows)
	}
	// In the end it is stored, once.
	testkit.Eventually(t, patience, "the event to be accepted", func() bool { return tr.send(f.replicas[0], event(1)) == http.StatusAccepted })
	if rows := value(t, p.standby.URL(), "SELECT count(*)::text FROM events"); rows != "2" {
		t.Errorf("there are %s rows", rows)
	}
}
