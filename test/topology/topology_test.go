//go:build topology

package topology_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
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
	client   *http.Client        // checks answers against the contract
	probe    *http.Client        // doesn't: of a balancer that has yet to find its replicas
	replicas map[string]*replica // by address
}

type replica struct {
	command *exec.Cmd
	ended   chan struct{}
	stderr  *lockedBuffer
	killed  bool
}

// startFleet starts replicas on the addresses and a balancer in front of them, and
// waits until each has been seen to get traffic. More names are addresses that
// the balancer hears of and that the test serves itself.
func startFleet(t *testing.T, addresses []string, more []string, env ...string) *fleet {
	t.Helper()
	f := &fleet{
		t: t, port: commonPort(t, append(slices.Clone(addresses), more...)), client: contract.Client(t), replicas: map[string]*replica{},
		env: append([]string{
			"PG_URL=" + testkit.Postgres(t), "REDIS_URL=" + testkit.Redis(t),
			"TRUSTED_PROXIES=127.0.0.0/8", "SHUTDOWN_DELAY=2s", "LOG_LEVEL=WARN",
		}, env...),
	}
	f.client.Timeout = time.Minute // nothing hangs for ever, and nothing is this slow
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	f.probe = &http.Client{Transport: transport, Timeout: time.Minute}
	f.dns = serveNames(t)
	for _, address := range addresses {
		f.launchReplica(address)
	}
	for _, address := range addresses {
		f.awaitReady(address)
	}
	f.startBalancer()
	for _, address := range addresses {
		f.awaitTraffic(address)
	}
	return f
}

// startBalancer starts HAProxy with the shipped configuration. A port that was
// free can be taken before HAProxy binds it: then another is tried.
func (f *fleet) startBalancer() {
	f.t.Helper()
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		if haproxy, err = exec.LookPath("/usr/sbin/haproxy"); err != nil {
			f.t.Fatal("haproxy is not installed: run scripts/test-deps.sh haproxy")
		}
	}
	log := &lockedBuffer{}
	f.t.Cleanup(func() {
		if f.t.Failed() {
			f.t.Logf("haproxy wrote:\n%s", log)
		}
	})
	for range 5 {
		listen := fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(f.t))
		environment := []string{
			"API_HOST=api", fmt.Sprint("API_PORT=", f.port), "DNS_SERVER=" + f.dns.address(), "LISTEN=" + listen,
		}
		check := exec.Command(haproxy, "-c", "-f", "haproxy.cfg")
		check.Env = environment
		if out, err := check.CombinedOutput(); err != nil {
			f.t.Fatalf("haproxy doesn't accept its configuration: %v\n%s", err, out)
		}
		balancer := exec.Command(haproxy, "-db", "-f", "haproxy.cfg")
		balancer.Env = environment
		balancer.Stdout, balancer.Stderr = log, log
		if err := balancer.Start(); err != nil {
			f.t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = balancer.Wait() // its exit code is the signal's
			close(ended)
		}()
		f.t.Cleanup(func() {
			_ = balancer.Process.Signal(syscall.SIGTERM) // fails when it has ended
			<-ended
		})
		f.url = "http://" + listen
		listening := false
		testkit.Eventually(f.t, 30*time.Second, "haproxy to listen, or to give up", func() bool {
			response, err := f.probe.Get(f.url + "/")
			if err == nil {
				response.Body.Close()
			}
			listening = err == nil
			return listening || isClosed(ended)
		})
		if listening && !isClosed(ended) {
			return
		}
	}
	f.t.Fatal("haproxy didn't start")
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
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
	f.launchReplica(address)
	f.awaitReady(address)
}

func (f *fleet) launchReplica(address string) {
	f.t.Helper()
	addr := net.JoinHostPort(address, fmt.Sprint(f.port))
	r := &replica{ended: make(chan struct{}), stderr: &lockedBuffer{}}
	r.command = exec.Command(os.Args[0])
	r.command.Env = append([]string{asProgram + "=1", "GORACE=halt_on_error=1", "ADDR=" + addr}, f.env...)
	r.command.Stderr = r.stderr
	if err := r.command.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() {
		_ = r.command.Wait() // its exit code is in ProcessState
		close(r.ended)
	}()
	f.replicas[address] = r
	f.t.Cleanup(func() {
		_ = r.command.Process.Signal(os.Interrupt) // fails when it has ended; unlike SIGTERM it doesn't wait for balancers
		r.awaitEnd(f.t)
		if code := r.command.ProcessState.ExitCode(); code != 0 && !r.killed {
			f.t.Errorf("the replica %s exited with %d", addr, code)
		}
		if f.t.Failed() {
			f.t.Logf("the replica %s wrote:\n%s", addr, r.stderr)
		}
	})
}

func (f *fleet) awaitReady(address string) {
	f.t.Helper()
	r := f.replicas[address]
	testkit.Eventually(f.t, 30*time.Second, "the replica "+address, func() bool {
		if isClosed(r.ended) {
			f.t.Fatalf("the replica %s ended: %s", address, r.stderr)
		}
		response, err := f.client.Get(fmt.Sprintf("http://%s:%d/readyz", address, f.port))
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	f.dns.set(address, true)
}

// kill ends replicas at once, all in the same moment.
func (f *fleet) kill(addresses ...string) {
	f.t.Helper()
	for _, address := range addresses {
		r := f.replicas[address]
		r.killed = true
		if err := r.command.Process.Kill(); err != nil {
			f.t.Fatal(err)
		}
	}
	for _, address := range addresses {
		f.replicas[address].awaitEnd(f.t)
	}
}

func (r *replica) awaitEnd(t *testing.T) {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(time.Minute):
		_ = r.command.Process.Kill()
		<-r.ended
		t.Error("a replica didn't end within a minute")
	}
}

// served returns how many requests for the front page a replica has answered.
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
		if _, err := fmt.Sscanf(scanner.Text(), `analytics_http_requests_total{method="GET",route="/{$}",status="200"} %d`, &n); err == nil {
			total += n
		}
	}
	return total
}

// awaitTraffic asks for the front page, which no rate limit concerns, until a
// replica has answered.
func (f *fleet) awaitTraffic(address string) {
	f.t.Helper()
	before := f.served(address)
	testkit.Eventually(f.t, 30*time.Second, "traffic on "+address, func() bool {
		if response, err := f.probe.Get(f.url + "/"); err == nil {
			response.Body.Close()
		}
		return f.served(address) > before
	})
}

func event(eventType string, n int, more string) string {
	return fmt.Sprintf(`{"user_id":%d,"event_type":%q,"timestamp":1690000000%s}`, n%50+1, eventType, more)
}

// traffic sends events through the balancer until told to stop, and asks for counts
// in between. Half of the events name an id of their own; the others are told
// apart by nothing but what the balancer adds.
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
	// An event's type is no part of its identity: the ids must differ too.
	family := crc32.ChecksumIEEE([]byte(eventType))
	// Bodies that clients send in one piece with the header, and in several.
	payload := `,"payload":{"a":"` + strings.Repeat("x", 24_000) + `"}`
	var next atomic.Int64
	for range 8 {
		tr.senders.Go(func() {
			for ctx.Err() == nil {
				n := int(next.Add(1))
				more := ""
				if n%2 == 0 {
					more = fmt.Sprintf(`,"event_id":"%08x-ac96-774b-bcce-%012x"`, family, n)
				}
				if n%8 < 2 {
					more += payload
				}
				events, err := 1, error(nil)
				if n%8 == 5 {
					events = 2
					err = f.sendBatch(event(eventType, n, ""), event(eventType, n, ""))
				} else {
					err = f.send(event(eventType, n, more))
				}
				if err == nil {
					tr.accepted.Add(int64(events))
				}
				if n%10 == 0 {
					err = errors.Join(err, f.ask(eventType))
				}
				if err != nil {
					tr.mu.Lock()
					tr.failures = append(tr.failures, err)
					tr.mu.Unlock()
				}
			}
		})
	}
	f.t.Cleanup(func() { cancel(); tr.senders.Wait() })
	return tr
}

func (f *fleet) send(body string) error {
	response, err := f.client.Post(f.url+"/event", "application/json", strings.NewReader(body))
	return wants(http.StatusAccepted, response, err)
}

// sendBatch sends events in one request and wants all of them stored.
func (f *fleet) sendBatch(events ...string) error {
	response, err := f.client.Post(f.url+"/events", "application/json", strings.NewReader("["+strings.Join(events, ",")+"]"))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var receipt struct{ Received, Duplicate int }
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &receipt); err != nil || receipt.Received+receipt.Duplicate != len(events) {
		return fmt.Errorf("%s %s", response.Status, text)
	}
	return nil
}

func (f *fleet) ask(eventType string) error {
	response, err := f.client.Get(f.url + "/stats/" + eventType)
	return wants(http.StatusOK, response, err)
}

func wants(status int, response *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != status {
		text, err := io.ReadAll(response.Body)
		return errors.Join(fmt.Errorf("%s %s", response.Status, text), err)
	}
	return nil
}

// end ends the traffic and compares what was accepted with what is counted: with
// nothing failed, every event is there, and there once.
func (f *fleet) end(tr *traffic, eventType string) {
	f.t.Helper()
	tr.stop()
	tr.senders.Wait()
	if len(tr.failures) > 0 {
		f.t.Errorf("%s: %d requests failed, %d did not: %v", eventType, len(tr.failures), tr.accepted.Load(), errors.Join(tr.failures...))
	}
	want := fmt.Sprintf(`{"event_type":%q,"count":%d}`, eventType, tr.accepted.Load())
	got := ""
	// A replica that was killed between a commit and Redis leaves the count there
	// behind for a moment.
	testkit.Eventually(f.t, 10*time.Second, want, func() bool {
		response, err := f.client.Get(f.url + "/stats/" + eventType)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if now := string(body); now != got {
			f.t.Logf("counted %s", now)
			got = now
		}
		return err == nil && got == want
	})
}

// await waits for more traffic: enough for every sender to meet whatever happens.
func (tr *traffic) await(t *testing.T) {
	t.Helper()
	const more = 500
	target := tr.accepted.Load() + more
	testkit.Eventually(t, time.Minute, fmt.Sprint(more, " more events"), func() bool { return tr.accepted.Load() >= target })
}

func TestTopologySurvivesReplicas(t *testing.T) {
	t.Parallel()
	addresses := []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"}
	f := startFleet(t, addresses, nil, "RATE_LIMIT=0")

	// Replicas die under traffic, one and then two at once, and nobody notices.
	// They come back and get traffic, too.
	for _, dead := range [][]string{addresses[:1], addresses[:2]} {
		eventType := fmt.Sprint("killed:", len(dead))
		tr := f.startTraffic(eventType)
		tr.await(t)
		f.kill(dead...)
		tr.await(t)
		for _, address := range dead {
			f.startReplica(address)
		}
		for _, address := range dead {
			f.awaitTraffic(address)
		}
		f.end(tr, eventType)
	}

	// A replica is stopped in order under traffic.
	tr := f.startTraffic("stopped")
	tr.await(t)
	stopped := f.replicas[addresses[1]]
	if err := stopped.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	stopped.awaitEnd(t)
	tr.await(t)
	f.end(tr, "stopped")
	if code := stopped.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the replica exited with %d", code)
	}

	// A name that goes away changes nothing for those that stay.
	f.dns.set(addresses[1], false)
	f.awaitTraffic(addresses[0])

	// With nobody left, what the balancer says is in the contract: the client checks.
	f.kill(addresses[0], addresses[2])
	response, err := f.client.Get(f.url + "/stats/a")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("without replicas: %s %v", response.Status, response.Header)
	}
}

// TestTopologyTakesWhatReplicasTake sends what doesn't fit in the balancer's
// buffers, or comes slowly.
func TestTopologyTakesWhatReplicasTake(t *testing.T) {
	t.Parallel()
	f := startFleet(t, []string{"127.0.0.5", "127.0.0.6"}, nil, "RATE_LIMIT=0")
	for size, want := range map[int]int{60_000: http.StatusAccepted, 66_000: http.StatusUnprocessableEntity, 150_000: http.StatusRequestEntityTooLarge} {
		body := event("large", 1, `,"payload":{"a":"`+strings.Repeat("x", size)+`"}`)
		response, err := f.client.Post(f.url+"/event", "application/json", strings.NewReader(body))
		if err := wants(want, response, err); err != nil {
			t.Errorf("%d bytes: %v", len(body), err)
		}
	}
	// A client that asks before it sends its body.
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+"/event", strings.NewReader(event("careful", 1, "")))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Expect", "100-continue")
	response, err := f.client.Do(request)
	if err := wants(http.StatusAccepted, response, err); err != nil {
		t.Errorf("with Expect: %v", err)
	}
}

// TestTopologySparesReplicasThatArentReady puts a server beside the replicas that
// says of itself that it isn't ready.
func TestTopologySparesReplicasThatArentReady(t *testing.T) {
	t.Parallel()
	const unready = "127.0.0.9"
	f := startFleet(t, []string{"127.0.0.7", "127.0.0.8"}, []string{unready}, "RATE_LIMIT=0")
	var checks, others atomic.Int64
	// Until its first check a replica that is new is taken to be fine: this one
	// appears while there is no traffic.
	f.serve(unready, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			checks.Add(1)
		} else {
			others.Add(1)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	testkit.Eventually(t, 30*time.Second, "the balancer to have asked whether it is ready", func() bool { return checks.Load() >= 4 })
	tr := f.startTraffic("ready")
	tr.await(t)
	f.end(tr, "ready")
	if n := others.Load(); n > 0 {
		t.Errorf("a server that isn't ready got %d requests", n)
	}
}

// serve puts a server of the test's own among the replicas.
func (f *fleet) serve(address string, handler http.HandlerFunc) {
	f.t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, fmt.Sprint(f.port)))
	if err != nil {
		f.t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: handler}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	f.t.Cleanup(func() { server.Close(); <-served })
	f.dns.set(address, true)
}

// TestTopologyHidesNonsense has a replica that says something that isn't HTTP: to
// clients it is one more way of being unavailable.
func TestTopologyHidesNonsense(t *testing.T) {
	t.Parallel()
	const address = "127.0.0.12"
	f := startFleet(t, nil, []string{address})
	f.serve(address, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = conn.Write([]byte("nonsense\r\n\r\n")) // the balancer may have hung up
		conn.Close()
	})
	testkit.Eventually(t, 30*time.Second, "the balancer to find the replica", func() bool {
		response, err := f.probe.Get(f.url + "/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	response, err := f.client.Get(f.url + "/stats/a")
	if err := wants(http.StatusServiceUnavailable, response, err); err != nil {
		t.Error(err)
	} else if response.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestTopologyTellsClientsApart(t *testing.T) {
	t.Parallel()
	f := startFleet(t, []string{"127.0.0.10", "127.0.0.11"}, nil, "RATE_LIMIT=20")
	// ask asks once, as a client of its own address.
	ask := func(source, forwarded string) int {
		t.Helper()
		transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}).DialContext}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: contract.Transport(t, transport), Timeout: time.Minute}
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
		return response.StatusCode
	}
	// exhaust uses up all that a client may ask. On a machine so slow that Redis
	// counts as silent, each replica has a limit of its own: several refusals in a
	// row come from both.
	exhaust := func(source string) {
		t.Helper()
		refused := 0
		for range 200 {
			if ask(source, "") == http.StatusTooManyRequests {
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
		if status := ask("127.0.0.92", ""); status != http.StatusOK {
			t.Errorf("another client was answered %d: the balancer's clients are taken for one", status)
		}
	}
	exhaust("127.0.0.92")
	// Made-up headers don't make other clients of it. A token comes back every 3 s.
	evaded := 0
	for i := range 10 {
		if ask("127.0.0.92", fmt.Sprint("198.51.100.", i)) != http.StatusTooManyRequests {
			evaded++
		}
	}
	if evaded > 5 {
		t.Errorf("a client evaded the limit by a header, %d times of 10", evaded)
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
