//go:build topology

package deploy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"highload.example/analytics/impl/app"
	"highload.example/analytics/impl/testkit"
	"highload.example/analytics/impl/testkit/contract"
)

// asProgram makes the test binary be the program.
const asProgram = "ANALYTICS_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(app.Main("test", os.Args[1:], os.Stdout, os.Stderr))
	}
	testkit.Main(m)
}

// fleet is the compose file's topology as processes of this machine: replicas on
// one port of several loopback addresses, found by HAProxy through DNS.
type fleet struct {
	t        *testing.T
	port     int
	env      []string
	dns      *nameserver
	url      string
	client   *http.Client
	replicas map[string]*replica // by address
}

type replica struct {
	command *exec.Cmd
	ended   chan struct{}
}

func startFleet(t *testing.T, addresses []string, env ...string) *fleet {
	t.Helper()
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		if haproxy, err = exec.LookPath("/usr/sbin/haproxy"); err != nil {
			t.Fatal("haproxy is not installed: run scripts/test-deps.sh haproxy")
		}
	}
	f := &fleet{
		t: t, port: commonPort(t, addresses), client: contract.Client(t), replicas: map[string]*replica{},
		env: append([]string{
			"PG_URL=" + testkit.Postgres(t), "REDIS_URL=" + testkit.Redis(t),
			"TRUSTED_PROXIES=127.0.0.0/8", "SHUTDOWN_DELAY=2s", "LOG_LEVEL=WARN",
		}, env...),
	}
	f.dns = serveNames(t)
	for _, address := range addresses {
		f.startReplica(address)
	}
	listen := fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t))
	f.url = "http://" + listen
	environment := []string{
		"API_HOST=api", fmt.Sprint("API_PORT=", f.port), "DNS_SERVER=" + f.dns.address(), "LISTEN=" + listen,
	}
	check := exec.Command(haproxy, "-c", "-f", "haproxy.cfg")
	check.Env = environment
	if out, err := check.CombinedOutput(); err != nil {
		t.Fatalf("haproxy doesn't accept its configuration: %v\n%s", err, out)
	}
	balancer := exec.Command(haproxy, "-db", "-f", "haproxy.cfg")
	balancer.Env = environment
	log := &lockedBuffer{}
	balancer.Stdout, balancer.Stderr = log, log
	if err := balancer.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = balancer.Process.Signal(syscall.SIGTERM)
		_ = balancer.Wait() // its exit code is the signal's
		if t.Failed() {
			t.Logf("haproxy wrote:\n%s", log)
		}
	})
	for _, address := range addresses {
		f.awaitTraffic(address)
	}
	return f
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// commonPort finds a port that is free on every address.
func commonPort(t *testing.T, addresses []string) int {
	t.Helper()
	for range 50 {
		port := testkit.FreePort(t)
		free := true
		for _, address := range addresses {
			listener, err := net.Listen("tcp", net.JoinHostPort(address, fmt.Sprint(port)))
			if err != nil {
				free = false
				break
			}
			listener.Close()
		}
		if free {
			return port
		}
	}
	t.Fatal("no port is free on all of ", addresses)
	return 0
}

// startReplica starts a replica, waits until it is ready, and names it.
func (f *fleet) startReplica(address string) {
	f.t.Helper()
	addr := net.JoinHostPort(address, fmt.Sprint(f.port))
	r := &replica{ended: make(chan struct{})}
	r.command = exec.Command(os.Args[0])
	r.command.Env = append([]string{asProgram + "=1", "GORACE=halt_on_error=1", "ADDR=" + addr}, f.env...)
	stderr := &lockedBuffer{}
	r.command.Stderr = stderr
	if err := r.command.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() {
		_ = r.command.Wait() // its exit code is in ProcessState
		close(r.ended)
	}()
	f.replicas[address] = r
	f.t.Cleanup(func() {
		_ = r.command.Process.Signal(syscall.SIGTERM)
		<-r.ended
		if f.t.Failed() {
			f.t.Logf("the replica %s wrote:\n%s", addr, stderr)
		}
	})
	testkit.Eventually(f.t, 30*time.Second, "the replica "+addr, func() bool {
		response, err := f.client.Get("http://" + addr + "/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	f.dns.set(address, true)
}

// served returns how many events a replica has answered.
func (f *fleet) served(address string) int {
	f.t.Helper()
	response, err := f.client.Get(fmt.Sprintf("http://%s:%d/metrics", address, f.port))
	if err != nil {
		return 0 // it isn't there
	}
	defer response.Body.Close()
	total := 0
	for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
		var n int
		if _, err := fmt.Sscanf(scanner.Text(), `analytics_events_total{outcome="accepted"} %d`, &n); err == nil {
			total += n
		}
	}
	return total
}

// awaitTraffic sends events until a replica has answered one.
func (f *fleet) awaitTraffic(address string) {
	f.t.Helper()
	before := f.served(address)
	testkit.Eventually(f.t, 30*time.Second, "traffic on "+address, func() bool {
		response, err := f.client.Post(f.url+"/event", "application/json", strings.NewReader(event("warm-up", 0, "")))
		if err == nil {
			response.Body.Close()
		}
		return f.served(address) > before
	})
}

// event is of a user and a second that depend on its type: its type is no part of
// an event's identity.
func event(eventType string, n int, more string) string {
	return fmt.Sprintf(`{"user_id":%d,"event_type":%q,"timestamp":%d%s}`, n%50+1, eventType, 1690000000+len(eventType), more)
}

// traffic sends events through the balancer until told to stop. Half of them name
// an id of their own; the others are told apart by nothing but what the
// balancer adds.
type traffic struct {
	stop     context.CancelFunc
	senders  sync.WaitGroup
	accepted atomic.Int64
	mu       sync.Mutex
	failures []error
}

func (f *fleet) startTraffic(eventType string) *traffic {
	ctx, cancel := context.WithCancel(context.Background())
	tr := &traffic{stop: cancel}
	var next atomic.Int64
	for range 8 {
		tr.senders.Go(func() {
			for ctx.Err() == nil {
				n := int(next.Add(1))
				more := ""
				if n%2 == 0 {
					more = fmt.Sprintf(`,"event_id":"01890a5d-ac96-774b-bcce-%012x"`, n)
				}
				if err := f.send(event(eventType, n, more)); err != nil {
					tr.mu.Lock()
					tr.failures = append(tr.failures, err)
					tr.mu.Unlock()
					continue
				}
				tr.accepted.Add(1)
			}
		})
	}
	f.t.Cleanup(func() { cancel(); tr.senders.Wait() })
	return tr
}

func (f *fleet) send(body string) error {
	response, err := f.client.Post(f.url+"/event", "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		text, err := io.ReadAll(response.Body)
		return errors.Join(fmt.Errorf("%s %s", response.Status, text), err)
	}
	return nil
}

// end ends the traffic and compares what was accepted with what is counted.
func (f *fleet) end(tr *traffic, eventType string) {
	f.t.Helper()
	tr.stop()
	tr.senders.Wait()
	if len(tr.failures) > 0 {
		f.t.Errorf("%d requests failed: %v", len(tr.failures), errors.Join(tr.failures...))
	}
	want := fmt.Sprintf(`{"event_type":%q,"count":%d}`, eventType, tr.accepted.Load())
	got := ""
	matches := func() bool {
		response, err := f.client.Get(f.url + "/stats/" + eventType)
		if err != nil {
			got = err.Error()
			return false
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		got = fmt.Sprint(string(body), err)
		return err == nil && string(body) == want
	}
	for deadline := time.Now().Add(5 * time.Second); !matches(); {
		if time.Now().After(deadline) {
			f.t.Errorf("counted %s, want %s", got, want)
			return
		}
	}
}

func (tr *traffic) await(t *testing.T, more int64) {
	t.Helper()
	target := tr.accepted.Load() + more
	testkit.Eventually(t, 30*time.Second, fmt.Sprint(more, " more events"), func() bool { return tr.accepted.Load() >= target })
}

func TestTopologySurvivesReplicas(t *testing.T) {
	t.Parallel()
	addresses := []string{"127.0.0.2", "127.0.0.3"}
	f := startFleet(t, addresses, "RATE_LIMIT=0")

	// A replica dies under traffic, and nobody notices.
	tr := f.startTraffic("killed")
	tr.await(t, 500)
	dead := f.replicas[addresses[0]]
	if err := dead.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-dead.ended
	tr.await(t, 500)
	f.end(tr, "killed")

	// It comes back, and gets traffic.
	f.startReplica(addresses[0])
	f.awaitTraffic(addresses[0])

	// A replica is stopped in order under traffic.
	tr = f.startTraffic("stopped")
	tr.await(t, 500)
	stopped := f.replicas[addresses[1]]
	if err := stopped.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-stopped.ended
	tr.await(t, 500)
	f.end(tr, "stopped")
	if code := stopped.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the replica exited with %d", code)
	}

	// A body that is larger than the balancer's buffers.
	if err := f.send(event("large", 1, `,"payload":{"a":"`+strings.Repeat("x", 60_000)+`"}`)); err != nil {
		t.Errorf("a large body: %v", err)
	}
	// Names of DNS that go away and come back change nothing for those that stay.
	f.dns.set(addresses[1], false)
	f.awaitTraffic(addresses[0])

	// With nobody left, what the balancer says is in the contract: the client checks.
	last := f.replicas[addresses[0]]
	if err := last.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-last.ended
	response, err := f.client.Get(f.url + "/stats/a")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("without replicas: %s %v", response.Status, response.Header)
	}
}

func TestTopologyTellsClientsApart(t *testing.T) {
	t.Parallel()
	f := startFleet(t, []string{"127.0.0.4", "127.0.0.5"}, "RATE_LIMIT=20")
	statuses := func(source string, forwarded string) map[int]int {
		transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}).DialContext}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: contract.Transport(t, transport)}
		got := map[int]int{}
		for range 30 {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/stats/a", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if forwarded != "" {
				request.Header.Set("X-Forwarded-For", forwarded)
			}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			got[response.StatusCode]++
		}
		return got
	}
	// Tokens come back every 3 s: a slow machine may see one or two more.
	limited := func(who string, got map[int]int) {
		t.Helper()
		if got[http.StatusOK] < 20 || got[http.StatusOK] > 23 || got[http.StatusTooManyRequests] != 30-got[http.StatusOK] {
			t.Errorf("%s: answers by status %v", who, got)
		}
	}
	limited("the first client", statuses("127.0.0.91", ""))
	limited("another client", statuses("127.0.0.92", ""))
	// A made-up header doesn't make a third client of the second.
	if got := statuses("127.0.0.92", "198.51.100.1"); got[http.StatusOK] > 3 {
		t.Errorf("a client evaded the limit by a header: %v", got)
	}
}

// nameserver answers for the one name that the balancer looks up.
type nameserver struct {
	conn net.PacketConn
	mu   sync.Mutex
	live map[string]bool
}

func serveNames(t *testing.T) *nameserver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nameserver{conn: conn, live: map[string]bool{}}
	served := make(chan struct{})
	go func() {
		defer close(served)
		buffer := make([]byte, 1500)
		for {
			length, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return // closed
			}
			if answer, err := n.answer(buffer[:length]); err == nil {
				_, _ = conn.WriteTo(answer, from) // lost answers are asked for again
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-served })
	return n
}

func (n *nameserver) address() string { return n.conn.LocalAddr().String() }

func (n *nameserver) set(address string, live bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.live[address] = live
}

// answer answers a query for addresses; there are none of IPv6.
func (n *nameserver) answer(query []byte) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil {
		return nil, err
	}
	question, err := parser.Question()
	if err != nil {
		return nil, err
	}
	message := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{question},
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for address, live := range n.live {
		if live && question.Type == dnsmessage.TypeA {
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte(net.ParseIP(address).To4())},
			})
		}
	}
	return message.Pack()
}
