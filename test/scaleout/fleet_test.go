//go:build scaleout

package scaleout_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"highload.example/analytics/impl/app"
	"highload.example/analytics/impl/testkit"
	"highload.example/analytics/impl/testkit/contract"
)

// asProgram makes the test binary be the product's program.
const asProgram = "ANALYTICS_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(app.Main("test", os.Args[1:], os.Stdout, os.Stderr))
	}
	testkit.Main(m)
}

// patience is how long what should take seconds may take while others use the machine.
const patience = 90 * time.Second

// fleet is replicas on one PostgreSQL and one Redis.
type fleet struct {
	t        *testing.T
	client   *http.Client // checks answers against the contract
	replicas []*replica
}

type replica struct {
	url     string
	env     []string
	command *exec.Cmd
	ended   chan struct{}
	stderr  *log
	killed  atomic.Bool
}

type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func startFleet(t *testing.T, replicas int, env ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, client: contract.Client(t)}
	f.client.Timeout = time.Minute // nothing hangs for ever
	for range replicas {
		address := fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t))
		r := &replica{url: "http://" + address, stderr: &log{}, env: append([]string{
			asProgram + "=1", "ADDR=" + address, "RATE_LIMIT=1000000000", "LOG_FORMAT=json", "GORACE=halt_on_error=1",
		}, env...)}
		f.replicas = append(f.replicas, r)
		r.start(t)
		t.Cleanup(func() {
			_ = r.command.Process.Signal(os.Interrupt) // fails when it has ended
			<-r.ended
			if code := r.command.ProcessState.ExitCode(); code != 0 && !r.killed.Load() {
				t.Errorf("a replica exited with %d", code)
			}
			if t.Failed() {
				t.Logf("%s wrote:\n%s", r.url, r.stderr)
			}
			if strings.Contains(r.stderr.String(), "defect") {
				t.Errorf("%s speaks of a defect", r.url)
			}
		})
	}
	for _, r := range f.replicas {
		f.awaitReady(r)
	}
	return f
}

func (r *replica) start(t *testing.T) {
	t.Helper()
	r.command = exec.Command(os.Args[0])
	r.command.Env, r.command.Stderr = r.env, r.stderr
	if err := r.command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	r.ended = ended
	go func() {
		_ = r.command.Wait() // its exit code is in ProcessState
		close(ended)
	}()
}

func (f *fleet) awaitReady(r *replica) {
	f.t.Helper()
	testkit.Eventually(f.t, patience, "a replica", func() bool {
		response, err := f.client.Get(r.url + "/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// says waits until every replica says something about what it leans on.
func (f *fleet) says(what string) {
	f.t.Helper()
	testkit.Eventually(f.t, patience, "every replica to say "+what, func() bool {
		for _, r := range f.replicas {
			response, err := f.client.Get(r.url + "/readyz")
			if err != nil {
				return false
			}
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if !strings.Contains(string(body), what) {
				return false
			}
		}
		return true
	})
}

// traffic is clients that send until each of their events is stored, on whichever
// replica answers.
type traffic struct {
	fleet   *fleet
	stop    context.CancelFunc
	clients sync.WaitGroup
	types   []string
	sent    []atomic.Int64 // by type
	last    atomic.Int64   // when an event was stored last, in Unix nanoseconds
	longest atomic.Int64   // the longest time without one, in nanoseconds

	mu       sync.Mutex
	answers  map[string]int
	problems []error
}

const clients = 8

// start has clients send; every tenth request asks for a count, which must never be
// less than what was stored before by the client that asks.
func (f *fleet) start(types ...string) *traffic {
	ctx, cancel := context.WithCancel(context.Background())
	tr := &traffic{fleet: f, stop: cancel, types: types, sent: make([]atomic.Int64, len(types)), answers: map[string]int{}}
	tr.last.Store(time.Now().UnixNano())
	for c := range clients {
		tr.clients.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(c)))
			for n := 0; ctx.Err() == nil; n++ {
				kind := rng.IntN(len(types))
				tr.deliver(c, n, kind, rng)
				if n%10 == 0 {
					tr.ask(kind, rng)
				}
			}
		})
	}
	f.t.Cleanup(func() { cancel(); tr.clients.Wait() })
	return tr
}

func id(client, n int) string { return fmt.Sprintf("%08x-ac96-774b-bcce-%012x", client+1, n) }

func (tr *traffic) deliver(client, n, kind int, rng *rand.Rand) {
	body := fmt.Sprintf(`{"user_id":%d,"event_type":%q,"timestamp":%d,"event_id":%q,"payload":{"n":%d}}`,
		n%50+1, tr.types[kind], 1_690_000_000+n%3600, id(client, n), n)
	tr.sent[kind].Add(1)
	deadline := time.Now().Add(patience)
	for {
		status := tr.send(tr.fleet.replicas[rng.IntN(len(tr.fleet.replicas))], body)
		if status == http.StatusAccepted {
			now := time.Now().UnixNano()
			if gap := now - tr.last.Swap(now); gap > tr.longest.Load() {
				tr.longest.Store(gap) // two at once may lose a moment: it is for people
			}
			return
		}
		if time.Now().After(deadline) {
			tr.problem(fmt.Errorf("event %d of client %d was not stored within %s", n, client, patience))
			return
		}
		<-time.After(20 * time.Millisecond) // as a client that was told to try again
	}
}

// send returns the status; 0: no answer.
func (tr *traffic) send(r *replica, body string) int {
	response, err := tr.fleet.client.Post(r.url+"/event", "application/json", strings.NewReader(body))
	if err != nil {
		tr.note("no answer")
		return 0
	}
	text, _ := io.ReadAll(response.Body)
	response.Body.Close()
	tr.note(response.Status[:3])
	if response.StatusCode != http.StatusAccepted && response.StatusCode != http.StatusServiceUnavailable {
		tr.problem(fmt.Errorf("%s %s", response.Status, text))
	}
	return response.StatusCode
}

func (tr *traffic) ask(kind int, rng *rand.Rand) {
	response, err := tr.fleet.client.Get(tr.fleet.replicas[rng.IntN(len(tr.fleet.replicas))].url + "/stats/" + tr.types[kind])
	if err != nil {
		return
	}
	response.Body.Close()
	tr.note("GET " + response.Status[:3])
}

func (tr *traffic) note(what string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.answers[what]++
}

func (tr *traffic) problem(err error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(tr.problems) < 10 {
		tr.problems = append(tr.problems, err)
	}
}

// flows waits until a few hundred more events are stored.
func (tr *traffic) flows() {
	tr.fleet.t.Helper()
	stored := func() int {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return tr.answers["202"]
	}
	const more = 300
	goal := stored() + more
	testkit.Eventually(tr.fleet.t, patience, fmt.Sprint(more, " events to be stored"), func() bool { return stored() >= goal })
}

// end ends the traffic and compares what was sent with the rows, and the rows with
// what every replica counts.
func (tr *traffic) end(pg string) {
	t := tr.fleet.t
	t.Helper()
	tr.stop()
	tr.clients.Wait()
	if len(tr.problems) > 0 {
		t.Error(errors.Join(tr.problems...))
	}
	conn, err := pgx.Connect(t.Context(), pg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for kind, name := range tr.types {
		var rows int64
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM events WHERE event_type = $1", name).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		if sent := tr.sent[kind].Load(); rows != sent {
			t.Errorf("%s: %d events were sent and accepted, and there are %d rows", name, sent, rows)
		}
		for _, r := range tr.fleet.replicas {
			var got int64
			testkit.Eventually(t, patience, fmt.Sprintf("%s to count %d of %s", r.url, rows, name), func() bool {
				got = tr.fleet.count(r, name)
				return got == rows
			})
		}
	}
	t.Logf("answers %v, longest time without an event stored %s", tr.answers, time.Duration(tr.longest.Load()).Round(time.Millisecond))
}

func (f *fleet) count(r *replica, eventType string) int64 {
	response, err := f.client.Get(r.url + "/stats/" + eventType)
	if err != nil {
		return -1
	}
	defer response.Body.Close()
	var answer struct{ Count int64 }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return -1
	}
	return answer.Count
}

// only fails the test when there were other answers to events than these.
func (tr *traffic) only(answers ...string) {
	tr.fleet.t.Helper()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for what, n := range tr.answers {
		known := what == "GET 200"
		for _, a := range answers {
			known = known || a == what
		}
		if !known {
			tr.fleet.t.Errorf("%d answers were %q; all: %v", n, what, tr.answers)
		}
	}
}

// kill ends a replica at once.
func (r *replica) kill(t *testing.T) {
	t.Helper()
	r.killed.Store(true)
	if err := r.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-r.ended
}

// redisCLI runs redis-cli and fails the test when that fails.
func redisCLI(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("redis-cli", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %v: %v\n%s", args, err, out)
	}
	return string(out)
}
