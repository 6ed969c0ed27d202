// Package topology_test tests the deployment that is shipped: HAProxy with deploy/haproxy.cfg
// in front of replicas that it finds through DNS, the Compose file and the image.
package topology_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"highload.example/analytics/impl/testkit"
	"highload.example/analytics/impl/testkit/contract"
	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/fleet"
	"highload.example/analytics/test/fleet/fleettest"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// hangTimeout bounds what hangs.
const hangTimeout = 90 * time.Second

// openFleet opens replicas behind HAProxy, on a database of the test's own.
func openFleet(t *testing.T, c fleet.Config) (f *fleet.Fleet, database string) {
	t.Helper()
	if _, err := harness.FindHAProxy(); err != nil {
		testkit.StartFailed(t, err)
	}
	database = testkit.Postgres(t)
	c.Balancer = true
	c.Env = append([]string{
		"PG_URL=" + database, "REDIS_URL=" + testkit.Redis(t), "RATE_LIMIT=0",
		"TRUSTED_PROXIES=127.0.0.0/8", "SHUTDOWN_DELAY=2s", "LOG_LEVEL=WARN",
	}, c.Env...)
	return fleettest.Open(t, c), database
}

// TestHAProxyReplicaFailure kills and stops replicas under traffic: no request fails, and
// no event is lost or stored twice.
func TestHAProxyReplicaFailure(t *testing.T) {
	t.Parallel()
	f, database := openFleet(t, fleet.Config{Replicas: 3})

	// 1. One replica is killed, and then two at once. They come back and get requests.
	for _, killed := range [][]*fleet.Replica{f.Replicas[:1], f.Replicas[:2]} {
		traffic := fleettest.StartTraffic(t, f, fleet.TrafficConfig{Types: []string{fmt.Sprint("killed:", len(killed))}})
		traffic.Await()
		kill(t, killed)
		traffic.Await()
		for _, r := range killed {
			fleettest.Must(t, r.Start(t.Context()))
		}
		for _, r := range killed {
			fleettest.Must(t, f.AwaitBalanced(t.Context(), r))
		}
		traffic.Check(database)
	}

	// 2. A replica stops in order.
	traffic := fleettest.StartTraffic(t, f, fleet.TrafficConfig{Types: []string{"stopped"}})
	traffic.Await()
	fleettest.Must(t, f.Replicas[1].Terminate(t.Context()))
	traffic.Await()
	traffic.Check(database)

	// 3. A replica that DNS no longer names changes nothing for those that stay.
	fleettest.Must(t, f.Withdraw(f.Replicas[1].Host()))
	fleettest.Must(t, f.AwaitBalanced(t.Context(), f.Replicas[0]))

	// 4. Without any replica HAProxy's own response is in the contract.
	kill(t, []*fleet.Replica{f.Replicas[0], f.Replicas[2]})
	response, err := fleettest.Client(t).Get(f.Balancer.URL + "/stats/a")
	checkUnavailable(t, response, err)
}

// kill kills replicas at the same moment.
func kill(t *testing.T, replicas []*fleet.Replica) {
	t.Helper()
	var group sync.WaitGroup
	for _, r := range replicas {
		group.Go(func() {
			if err := r.Kill(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// checkUnavailable wants 503 and Retry-After.
func checkUnavailable(t *testing.T, response *http.Response, err error) {
	t.Helper()
	fleettest.Must(t, err)
	defer response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("%s %v", response.Status, response.Header)
	}
}

// TestHAProxyRequestSizes sends bodies that don't fit in HAProxy's buffers, and one whose
// client waits for permission.
func TestHAProxyRequestSizes(t *testing.T) {
	t.Parallel()
	f, _ := openFleet(t, fleet.Config{Replicas: 2})
	client := fleettest.Client(t)
	post := func(body, expect string) int {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.Balancer.URL+"/event", strings.NewReader(body))
		fleettest.Must(t, err)
		request.Header.Set("Content-Type", "application/json")
		if expect != "" {
			request.Header.Set("Expect", expect)
		}
		response, err := client.Do(request)
		fleettest.Must(t, err)
		defer response.Body.Close()
		return response.StatusCode
	}
	event := func(size int) string {
		return fmt.Sprintf(`{"user_id":1,"event_type":"large","timestamp":1690000000,"payload":{"a":%q}}`, strings.Repeat("x", size))
	}
	for size, want := range map[int]int{60_000: http.StatusAccepted, 66_000: http.StatusUnprocessableEntity, 150_000: http.StatusRequestEntityTooLarge} {
		if status := post(event(size), ""); status != want {
			t.Errorf("%d bytes of payload: %d, want %d", size, status, want)
		}
	}
	if status := post(event(1), "100-continue"); status != http.StatusAccepted {
		t.Errorf("with Expect: %d", status)
	}
}

// TestHAProxyUnreadyReplica has a server among the replicas whose /readyz says 503: it gets
// no request.
func TestHAProxyUnreadyReplica(t *testing.T) {
	t.Parallel()
	f, database := openFleet(t, fleet.Config{Replicas: 2, Addresses: 1})
	var checks, requests atomic.Int64
	// HAProxy takes a new server to be ready until its first check, so this one appears
	// while there is no traffic.
	serve(t, f, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			checks.Add(1)
		} else {
			requests.Add(1)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	testkit.Eventually(t, hangTimeout, "HAProxy to check the server", func() bool { return checks.Load() >= 4 })
	traffic := fleettest.StartTraffic(t, f, fleet.TrafficConfig{Types: []string{"ready"}})
	traffic.Await()
	traffic.Check(database)
	if n := requests.Load(); n > 0 {
		t.Errorf("a server that isn't ready got %d requests", n)
	}
}

// serve puts a server at the first reserved address.
func serve(t *testing.T, f *fleet.Fleet, handler http.HandlerFunc) {
	t.Helper()
	listener, err := net.Listen("tcp", f.Addresses[0])
	fleettest.Must(t, err)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: handler}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); <-served })
	host, _, err := net.SplitHostPort(f.Addresses[0])
	fleettest.Must(t, err)
	fleettest.Must(t, f.Announce(host))
}

// TestHAProxyInvalidUpstreamResponse has a replica whose responses aren't HTTP: clients are
// told that the service is unavailable.
func TestHAProxyInvalidUpstreamResponse(t *testing.T) {
	t.Parallel()
	f, _ := openFleet(t, fleet.Config{Replicas: fleet.NoReplicas, Addresses: 1})
	serve(t, f, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = conn.Write([]byte("nonsense\r\n\r\n")) // HAProxy may have hung up
		conn.Close()
	})
	fleettest.Must(t, f.AwaitTraffic(t.Context()))
	response, err := fleettest.Client(t).Get(f.Balancer.URL + "/stats/a")
	checkUnavailable(t, response, err)
}

// TestHAProxyClientAddress checks that the rate limit is per address of the client, not of
// the load balancer, and that a made-up X-Forwarded-For doesn't evade it.
func TestHAProxyClientAddress(t *testing.T) {
	t.Parallel()
	f, _ := openFleet(t, fleet.Config{Replicas: 2, Env: []string{"RATE_LIMIT=6"}}) // a token every 10 s
	// query makes one request as a client of its own address.
	query := func(source, forwarded string) int {
		t.Helper()
		transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}).DialContext}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: contract.Transport(t, transport), Timeout: hangTimeout}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.Balancer.URL+"/stats/a", http.NoBody)
		fleettest.Must(t, err)
		if forwarded != "" {
			request.Header.Set("X-Forwarded-For", forwarded)
		}
		response, err := client.Do(request)
		fleettest.Must(t, err)
		response.Body.Close()
		return response.StatusCode
	}
	// exhaust uses up a client's limit. On a machine so slow that Redis counts as
	// unavailable, each replica has a limit of its own: several refusals in a row come from
	// both.
	exhaust := func(source string) {
		t.Helper()
		refused := 0
		for range 200 {
			if query(source, "") == http.StatusTooManyRequests {
				refused++
			} else {
				refused = 0
			}
			if refused == 6 {
				return
			}
		}
		t.Fatal("the client ", source, " isn't limited")
	}
	exhaust("127.0.0.91")
	for range 5 {
		if status := query("127.0.0.92", ""); status != http.StatusOK {
			t.Errorf("another client was answered %d: HAProxy's clients are taken for one", status)
		}
	}
	exhaust("127.0.0.92")
	evaded, started := 0, time.Now()
	for i := range 10 {
		if query("127.0.0.92", fmt.Sprint("198.51.100.", i)) != http.StatusTooManyRequests {
			evaded++
		}
	}
	// Each replica may have a limit of its own, and give out what has come back meanwhile.
	if earned := 2 * (1 + int(time.Since(started)/(10*time.Second))); evaded > earned {
		t.Errorf("a client evaded the limit by a header, %d times of 10", evaded)
	}
}
