package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"highload.example/analytics/internal/harness"
)

// Traffic is clients that send events, alone and in batches, small and large, with IDs of
// their own and without, and query counts in between. Check then says whether each
// accepted event is stored once and counted once.
type Traffic struct {
	config TrafficConfig
	fleet  *Fleet
	series int64        // tells this traffic's events from those of all other traffic
	next   atomic.Int64 // the number of the next request
	stop   context.CancelFunc
	group  sync.WaitGroup

	mu          sync.Mutex
	accepted    map[string][]int64 // by type: the numbers of the events
	completed   int                // requests whose events are all stored
	responses   map[string]int
	failures    []error
	last        time.Time     // when a request completed last
	longestStop time.Duration // the longest time in which none did
}

// TrafficConfig says what clients do.
type TrafficConfig struct {
	Client *http.Client // makes the requests, and may check the responses
	// Targets are base URLs. Each request goes to one of them at random. Empty: the load
	// balancer, or without one every replica.
	Targets []string
	Types   []string // of the events
	// Repeat has clients repeat a request, with the same Idempotency-Key, until its events are
	// stored: 503 and broken connections are no failures. Without it every request must
	// succeed at the first try.
	Repeat bool
}

const (
	trafficClients = 8
	batchEvents    = 4
	// largePayload is in bytes. HTTP clients send a body of this size apart from its header.
	largePayload = 24_000
	// pause is between a client's requests, so that waiting for something else under traffic
	// leaves the machine to that.
	pause = 5 * time.Millisecond
	// repeatAfter is what clients wait that were told to try again.
	repeatAfter = 20 * time.Millisecond
	// trafficTimeout bounds what hangs.
	trafficTimeout = 90 * time.Second
	maxFailures    = 10
)

// series numbers the traffic of this process.
var series atomic.Int64

// StartTraffic starts clients. They send until Stop.
func (f *Fleet) StartTraffic(c TrafficConfig) *Traffic {
	if len(c.Targets) == 0 {
		c.Targets = f.Targets
		if f.Balancer != nil {
			c.Targets = []string{f.Balancer.URL}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	t := &Traffic{
		config: c, fleet: f, series: series.Add(1), stop: cancel, last: time.Now(),
		accepted: map[string][]int64{}, responses: map[string]int{},
	}
	for i := range trafficClients {
		t.group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(t.series), uint64(i))) //nolint:gosec // to be repeated, not to be secret
			for ctx.Err() == nil {
				t.exchange(int(t.next.Add(1)-1), random)
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		})
	}
	return t
}

// exchange sends one request until its events are stored, and sometimes queries a count.
func (t *Traffic) exchange(n int, random *rand.Rand) {
	p := t.post(n, t.config.Types[random.IntN(len(t.config.Types))])
	deadline := time.Now().Add(trafficTimeout)
	for {
		completed, err := t.send(p, t.target(random))
		if completed {
			t.complete(p)
			break
		}
		if err == nil && time.Now().After(deadline) {
			err = fmt.Errorf("request %d wasn't stored within %s", n, trafficTimeout)
		}
		if err != nil {
			t.fail(err)
			break
		}
		<-time.After(repeatAfter)
	}
	if n%10 == 0 {
		status, _, err := t.count(t.target(random), p.eventType)
		t.record("GET", status)
		if err != nil && !t.config.Repeat {
			t.fail(err)
		}
	}
}

func (t *Traffic) target(random *rand.Rand) string {
	return t.config.Targets[random.IntN(len(t.config.Targets))]
}

// post is a request with events.
type post struct {
	path, key, body string // key: Idempotency-Key, if any
	eventType       string
	numbers         []int64 // of the events
}

// post returns the n-th request.
func (t *Traffic) post(n int, eventType string) post {
	p := post{path: "/event", eventType: eventType}
	count := 1
	if n%8 == 5 {
		p.path, count = "/events", batchEvents
	}
	if t.config.Repeat {
		p.key = uuid.NewString()
	}
	events := make([]string, count)
	for i := range events {
		number := int64(n*batchEvents + i)
		p.numbers = append(p.numbers, number)
		id, padding := "", ""
		if (n+i)%2 == 0 { // half of the events are told apart by the Idempotency-Key alone
			id = fmt.Sprintf(`,"event_id":"%08x-ac96-774b-bcce-%012x"`, t.series, number)
		}
		if n%8 < 2 {
			padding = strings.Repeat("x", largePayload)
		}
		events[i] = fmt.Sprintf(`{"user_id":%d,"event_type":%q,"timestamp":%d,"payload":{"n":%d,"padding":%q}%s}`,
			number%50+1, eventType, 1_690_000_000+number%3600, number, padding, id)
	}
	p.body = strings.Join(events, ",")
	if p.path == "/events" {
		p.body = "[" + p.body + "]"
	}
	return p
}

// send makes a request and reports whether all of its events are stored. An error is a
// failure that the configuration doesn't allow.
func (t *Traffic) send(p post, target string) (completed bool, err error) {
	header := http.Header{"Content-Type": {"application/json"}}
	if p.key != "" {
		header.Set("Idempotency-Key", p.key)
	}
	status, body, err := t.request(http.MethodPost, target+p.path, header, p.body)
	t.record("POST", status)
	switch {
	case err != nil:
		return false, t.unlessRepeated(err)
	case status != http.StatusAccepted:
		err := fmt.Errorf("POST %s: %d %.300s", p.path, status, body)
		if status == http.StatusServiceUnavailable {
			err = t.unlessRepeated(err)
		}
		return false, err
	}
	var receipt struct {
		Received  int `json:"received"`
		Duplicate int `json:"duplicate"`
		Rejected  int `json:"rejected"`
		Retry     int `json:"retry"`
	}
	if p.path == "/event" {
		receipt.Received = 1
	} else if err := json.Unmarshal(body, &receipt); err != nil {
		return false, fmt.Errorf("POST %s: %w: %.300s", p.path, err, body)
	}
	if receipt.Retry > 0 && receipt.Rejected == 0 {
		t.record("retries in", status)
		return false, t.unlessRepeated(fmt.Errorf("POST %s: %.300s", p.path, body))
	}
	if receipt.Received+receipt.Duplicate != len(p.numbers) {
		return false, fmt.Errorf("POST %s: %d events, and %.300s", p.path, len(p.numbers), body)
	}
	return true, nil
}

func (t *Traffic) unlessRepeated(err error) error {
	if t.config.Repeat {
		return nil
	}
	return err
}

// count queries a count.
func (t *Traffic) count(target, eventType string) (status, count int, err error) {
	status, body, err := t.request(http.MethodGet, target+"/stats/"+eventType, nil, "")
	if err != nil {
		return status, 0, err
	}
	var stats struct {
		Count int `json:"count"`
	}
	if err := json.Unmarshal(body, &stats); err != nil || status != http.StatusOK {
		return status, 0, fmt.Errorf("GET /stats/%s of %s: %d %.300s", eventType, target, status, body)
	}
	return status, stats.Count, nil
}

// request makes a request that the end of the traffic doesn't cut short.
func (t *Traffic) request(method, url string, header http.Header, body string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), trafficTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if header != nil {
		request.Header = header
	}
	response, err := t.config.Client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, err
	}
	return response.StatusCode, text, nil
}

// record counts a response; status 0: there was none, or half of one.
func (t *Traffic) record(what string, status int) {
	response := what + " " + strconv.Itoa(status)
	if status == 0 {
		response = what + " without response"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.responses[response]++
}

func (t *Traffic) complete(p post) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.accepted[p.eventType] = append(t.accepted[p.eventType], p.numbers...)
	t.completed++
	now := time.Now()
	t.longestStop = max(t.longestStop, now.Sub(t.last))
	t.last = now
}

func (t *Traffic) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failures) < maxFailures {
		t.failures = append(t.failures, err)
	}
}

// Record adds events that the caller sent itself, once each was accepted: their payload has
// the number as "n", which must be none of the traffic's own (below 1<<40).
func (t *Traffic) Record(eventType string, numbers ...int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.accepted[eventType] = append(t.accepted[eventType], numbers...)
}

// awaitRequests is enough for every client to meet what is done to the fleet.
const awaitRequests = 300

// Await waits until some hundred more requests have completed, or one has failed.
func (t *Traffic) Await(ctx context.Context) error {
	completed := func() (int, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.completed, errors.Join(t.failures...)
	}
	before, _ := completed()
	return harness.Poll(ctx, trafficTimeout, func(context.Context) error {
		now, err := completed()
		switch {
		case err != nil:
			return harness.Permanent(err)
		case now < before+awaitRequests:
			return fmt.Errorf("%d of %d requests completed; responses: %v", now-before, awaitRequests, t.Responses())
		}
		return nil
	})
}

// Stop has clients finish what they began. Stopping twice is harmless.
func (t *Traffic) Stop() {
	t.stop()
	t.group.Wait()
}

// Check stops the traffic and compares what was accepted with the rows of PostgreSQL and
// with the counts of the load balancer and of each replica that runs, which may lag for a
// moment. It returns what failed before, too.
func (t *Traffic) Check(ctx context.Context, database string) error {
	t.Stop()
	errs := []error{errors.Join(t.failures...)}
	for _, eventType := range t.config.Types {
		rows, err := readNumbers(ctx, database, eventType)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		errs = append(errs, compare(eventType, t.accepted[eventType], rows))
		for _, target := range t.fleet.runningTargets() {
			errs = append(errs, harness.Poll(ctx, trafficTimeout, func(context.Context) error {
				_, count, err := t.count(target, eventType)
				if err == nil && count != len(rows) {
					err = fmt.Errorf("%s counts %d of %s, and there are %d rows", target, count, eventType, len(rows))
				}
				return err
			}))
		}
	}
	return errors.Join(errs...)
}

// runningTargets returns the URLs of the load balancer and of the replicas that run.
func (f *Fleet) runningTargets() (urls []string) {
	if f.Balancer != nil {
		urls = append(urls, f.Balancer.URL)
	}
	for _, r := range f.Replicas {
		if r.Running() {
			urls = append(urls, r.URL)
		}
	}
	return urls
}

// readNumbers returns the numbers of the events of a type that are stored.
func readNumbers(ctx context.Context, database, eventType string) (numbers []int64, err error) {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return nil, fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	rows, err := conn.Query(ctx, "SELECT (payload->>'n')::bigint FROM events WHERE event_type = $1", eventType)
	if err != nil {
		return nil, fmt.Errorf("reading the events: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// compare says which accepted events aren't stored once.
func compare(eventType string, accepted, stored []int64) error {
	surplus := map[int64]int{}
	for _, number := range stored {
		surplus[number]++
	}
	for _, number := range accepted {
		surplus[number]--
	}
	maps.DeleteFunc(surplus, func(_ int64, n int) bool { return n == 0 })
	if len(surplus) == 0 {
		return nil
	}
	numbers := slices.Sorted(maps.Keys(surplus))
	first := numbers[0]
	return fmt.Errorf("%s: %d events were accepted, and there are %d rows; %d events differ, the first is %d with %+d rows",
		eventType, len(accepted), len(stored), len(numbers), first, surplus[first])
}

// Responses returns how often each response came: "POST 202", "GET 503", "POST without
// response"; "retries in 202" are those that ask for some events of a batch again.
func (t *Traffic) Responses() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.responses)
}

// ExpectResponses returns an error if there were other responses than these, POST 202 and
// GET 200.
func (t *Traffic) ExpectResponses(allowed ...string) error {
	allowed = append(allowed, "POST 202", "GET 200")
	responses := t.Responses()
	for response := range responses {
		if !slices.Contains(allowed, response) {
			return fmt.Errorf("unexpected responses (%s): %v", response, responses)
		}
	}
	return nil
}

// String says what happened, for people.
func (t *Traffic) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("responses %v, longest time without a completed request %s", t.responses, t.longestStop.Round(time.Millisecond))
}
