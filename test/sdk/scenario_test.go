// Package sdk_test runs the same scenarios of faults with every SDK, and each SDK's own
// tests of a real server: see README.md.
package sdk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"highload.example/analytics/internal/harness"
)

// sdks are the folders of sdk/ that have a driver.
var sdks = []string{"go", "typescript", "python"}

// options are the driver's, where the scenario says nothing else.
var options = map[string]any{
	"max_batch_events": 10, "max_batch_bytes": 100_000, "flush_interval_ms": 50,
	"max_queue_events": 1000, "max_queue_bytes": 1_000_000, "on_full": "drop_newest", "block_timeout_ms": 100,
	"request_timeout_ms": 10_000, "backoff_base_ms": 20, "backoff_max_ms": 200, "gzip": true,
}

type scenario struct {
	Name    string            `json:"name"`
	Without map[string]string `json:"without"`
	Server  map[string]string `json:"server"`
	Options map[string]any    `json:"options"`
	Durable bool              `json:"durable"`
	Faults  []fault           `json:"faults"`
	Steps   []json.RawMessage `json:"steps"`
	Expect  expectation       `json:"expect"`
}

type expectation struct {
	Accepted            *int     `json:"accepted"`
	Duplicate           *int     `json:"duplicate"`
	AcceptedOrDuplicate *int     `json:"accepted_or_duplicate"`
	Rejected            int      `json:"rejected"`
	Dropped             int      `json:"dropped"`
	Failed              int      `json:"failed"`
	MinRequests         int      `json:"min_requests"`
	MaxRequests         int      `json:"max_requests"`
	Flushes             []bool   `json:"flushes"`
	Closed              *bool    `json:"closed"`
	Codes               []string `json:"codes"`
	DeliveredN          []int    `json:"delivered_n"`
	MinWaitMS           int      `json:"min_wait_ms"`
}

// event is an event as the driver or the server lists it.
type event struct {
	ID        string `json:"event_id"`
	UserID    int64  `json:"user_id"`
	Type      string `json:"event_type"`
	Timestamp int64  `json:"timestamp"`
	Payload   any    `json:"payload"`
	Outcome   string `json:"outcome"`
	Code      string `json:"code"`
}

func (e event) delivered() bool { return e.Outcome == "accepted" || e.Outcome == "duplicate" }

// driverAnswer is what a process of the driver says.
type driverAnswer struct {
	SDK      string         `json:"sdk"`
	Events   []event        `json:"events"`
	Tracked  int            `json:"tracked"`
	Flushes  []bool         `json:"flushes"`
	Closed   *bool          `json:"closed"`
	Requests int            `json:"requests"`
	Stats    map[string]int `json:"stats"`
}

func readScenarios(t *testing.T) []scenario {
	t.Helper()
	text, err := os.ReadFile("scenarios.json")
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var scenarios []scenario
	if err := decoder.Decode(&scenarios); err != nil {
		t.Fatalf("scenarios.json: %v", err)
	}
	names := map[string]bool{}
	for _, s := range scenarios {
		if names[s.Name] {
			t.Fatalf("scenarios.json has %s twice", s.Name)
		}
		names[s.Name] = true
		if e := s.Expect; (e.Accepted == nil) != (e.Duplicate == nil) || (e.Accepted == nil) == (e.AcceptedOrDuplicate == nil) {
			t.Fatalf("%s must expect accepted and duplicate, or accepted_or_duplicate", s.Name)
		}
		if slices.ContainsFunc(s.Faults, func(f fault) bool { return f.Do == "refuse" && f.Request == 1 }) {
			t.Fatalf("%s refuses the first request", s.Name)
		}
		for name := range s.Options {
			if _, known := options[name]; !known {
				t.Fatalf("%s has an unknown option %s", s.Name, name)
			}
		}
		for name := range s.Without {
			if !slices.Contains(sdks, name) {
				t.Fatalf("%s is without an unknown SDK %s", s.Name, name)
			}
		}
	}
	return scenarios
}

func TestScenario(t *testing.T) {
	t.Parallel()
	scenarios := readScenarios(t)
	for _, sdk := range sdks {
		t.Run(sdk, func(t *testing.T) {
			t.Parallel()
			folder, err := filepath.Abs(filepath.Join("..", "..", "sdk", sdk))
			if err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("make", "-C", folder, "driver").CombinedOutput(); err != nil {
				t.Fatalf("make driver: %v\n%s", err, out)
			}
			for _, s := range scenarios {
				if s.Without[sdk] != "" {
					continue // the scenario says why
				}
				t.Run(s.Name, func(t *testing.T) {
					t.Parallel()
					(&run{t: t, scenario: s, driver: filepath.Join(folder, "bin", "driver"), sdk: sdk}).all()
				})
			}
		})
	}
}

// run is one scenario with one SDK.
type run struct {
	t        *testing.T
	scenario scenario
	driver   string
	sdk      string

	server  *harness.Product
	proxy   *proxy
	queue   string         // folder of the on-disk queue
	answers []driverAnswer // of each process
}

func (r *run) all() {
	// 1. The application's life, with its crashes.
	r.server = startServer(r.t, r.scenario.Server)
	untilRetried := slices.ContainsFunc(r.scenario.Steps, func(step json.RawMessage) bool { return bytes.Contains(step, []byte(`"wait_retries"`)) })
	r.proxy = startProxy(r.t, r.server, r.scenario.Faults, untilRetried)
	if r.scenario.Durable {
		r.queue = r.t.TempDir()
	}
	for steps := r.scenario.Steps; len(steps) > 0; {
		steps = r.process(steps)
	}
	// 2. What the driver said, by itself and beside what the proxy saw.
	events := r.merge()
	r.checkAnswers()
	r.checkExpectations(events)
	r.checkRequests()
	// 3. What the server has.
	r.checkRows(events)
	// 4. Nothing is left for another start.
	if r.scenario.Durable {
		before := len(r.proxy.seen())
		r.process([]json.RawMessage{json.RawMessage(`{"do":"close","timeout_ms":20000}`)})
		last := r.answers[len(r.answers)-1]
		if now := len(r.proxy.seen()); now != before || len(last.Events) > 0 || last.Stats["queued"] > 0 {
			r.t.Errorf("another start found something on disk: %d requests, %+v", now-before, last)
		}
	}
}

// process runs the driver once, up to its crash or its end, and returns the steps that are left.
func (r *run) process(steps []json.RawMessage) (rest []json.RawMessage) {
	r.t.Helper()
	limit := time.Minute // for all that isn't waiting
	crash := false
	for i, text := range steps {
		var step struct {
			Do        string `json:"do"`
			TimeoutMS int    `json:"timeout_ms"`
		}
		if err := json.Unmarshal(text, &step); err != nil {
			r.t.Fatal(err)
		}
		limit += time.Duration(step.TimeoutMS) * time.Millisecond
		if step.Do == "crash" {
			crash = true
			rest = steps[i+1:]
			break
		}
	}
	merged := maps.Clone(options)
	maps.Copy(merged, r.scenario.Options)
	input, err := json.Marshal(map[string]any{
		"name": r.scenario.Name, "options": merged, "durable": r.scenario.Durable, "steps": steps[:len(steps)-len(rest)],
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, r.driver)
	command.Dir = r.t.TempDir()
	r.proxy.startProcess(command.Dir)
	command.Env = append(os.Environ(), "ANALYTICS_URL="+r.proxy.url())
	if r.queue != "" {
		command.Env = append(command.Env, "QUEUE_DIR="+r.queue)
	}
	command.Stdin = bytes.NewReader(input)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	command.WaitDelay = 10 * time.Second // a child of the driver's must not keep us
	err = command.Run()
	r.t.Cleanup(func() {
		if r.t.Failed() {
			r.t.Logf("the driver's stderr:\n%s\nits stdout:\n%.20000s", stderr.Bytes(), stdout.Bytes())
		}
	})
	switch {
	case ctx.Err() != nil:
		r.t.Fatalf("the driver didn't end within %s", limit)
	case crash:
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !killed(exit) {
			r.t.Fatalf("the driver didn't crash by SIGKILL: %v", err)
		}
	case err != nil:
		r.t.Fatalf("the driver: %v", err)
	}
	for line := range strings.Lines(stderr.String()) {
		if trace.MatchString(line) {
			r.t.Errorf("the driver says on stderr: %s", line)
			break
		}
	}
	var answer driverAnswer
	decoder := json.NewDecoder(&stdout)
	decoder.UseNumber()
	if err := decoder.Decode(&answer); err != nil {
		r.t.Fatalf("the driver's answer can't be read: %v", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		r.t.Error("the driver prints more than one answer")
	}
	if answer.SDK != r.sdk {
		r.t.Errorf("the driver says that it is %q", answer.SDK)
	}
	r.answers = append(r.answers, answer)
	return rest
}

// trace is how an error that nobody caught begins.
var trace = regexp.MustCompile(`^(Traceback|panic:|fatal error:|Uncaught|Unhandled|Exception in|\s+at |goroutine \d)|DeprecationWarning|ResourceWarning`)

// killed reports whether a process ended by SIGKILL, itself or as the last command of a shell.
func killed(exit *exec.ExitError) bool {
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && (status.Signaled() && status.Signal() == syscall.SIGKILL || status.ExitStatus() == 128+int(syscall.SIGKILL))
}

var uuidV7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// merge returns the events of all processes with their last outcomes. An event that was pending may become
// something else; one that was settled may be settled again only as a duplicate, if the process died before it noted that.
func (r *run) merge() []event {
	var merged []event
	place := map[string]int{}
	pendingWithoutID := 0
	for _, a := range r.answers {
		for _, e := range a.Events {
			if e.ID == "" {
				if e.Outcome == "pending" {
					pendingWithoutID++
				} else {
					merged = append(merged, e)
				}
				continue
			}
			i, known := place[e.ID]
			if !known {
				place[e.ID] = len(merged)
				merged = append(merged, e)
				continue
			}
			before := merged[i]
			if before.Outcome != "pending" && (!before.delivered() || e.Outcome != "duplicate") {
				r.t.Errorf("the event %s was %s and then %s", e.ID, before.Outcome, e.Outcome)
			}
			same := e
			same.Outcome, same.Code = before.Outcome, before.Code
			if before.Outcome == "pending" && before.Timestamp == 0 {
				same.Timestamp = 0
			}
			if !reflect.DeepEqual(before, same) {
				r.t.Errorf("the event was %+v and then %+v", before, e)
			}
			merged[i] = e
		}
	}
	tracked := 0
	for _, a := range r.answers {
		tracked += a.Tracked
	}
	if len(merged) != tracked {
		r.t.Errorf("%d events were tracked, the driver lists %d, and %d without an id", tracked, len(merged), pendingWithoutID)
	}
	for _, e := range merged {
		if e.Outcome == "pending" {
			r.t.Errorf("nobody knows what became of the event %+v", e)
		}
		if e.delivered() {
			r.checkID(e.ID)
		}
	}
	return merged
}

// checkID checks that an id is one that was made by the SDK a moment ago.
func (r *run) checkID(id string) {
	if !uuidV7.MatchString(id) {
		r.t.Errorf("%q is not a UUID of version 7", id)
		return
	}
	ms, err := strconv.ParseInt(strings.ReplaceAll(id, "-", "")[:12], 16, 64)
	if age := time.Since(time.UnixMilli(ms)); err != nil || age < -time.Minute || age > 10*time.Minute {
		r.t.Errorf("the id %s was made %s ago", id, age)
	}
}

// checkAnswers checks that each process's counters are those of its events.
func (r *run) checkAnswers() {
	for i, a := range r.answers {
		tally := map[string]int{"queued": 0, "accepted": 0, "duplicate": 0, "rejected": 0, "dropped": 0, "failed": 0}
		for _, e := range a.Events {
			name := e.Outcome
			if name == "pending" {
				name = "queued"
			}
			tally[name]++
		}
		crashed := i < len(r.answers)-1
		for name, n := range tally {
			// At a crash events that were recovered or just settled may not be listed yet, or not as such.
			if got, there := a.Stats[name]; !there || got != n && !crashed {
				r.t.Errorf("process %d: the SDK's counters are %v, its events' %v", i+1, a.Stats, tally)
				break
			}
		}
		if a.Requests != a.Stats["requests"] {
			r.t.Errorf("process %d: %d requests, and %d in the counters", i+1, a.Requests, a.Stats["requests"])
		}
		if _, there := a.Stats["retries"]; !there {
			r.t.Errorf("process %d: the counters have no retries", i+1)
		}
	}
}

func (r *run) checkExpectations(events []event) {
	want := r.scenario.Expect
	got := map[string]int{}
	codes := map[string]bool{}
	numbers := map[int]bool{}
	for _, e := range events {
		got[e.Outcome]++
		if e.Code != "" {
			codes[e.Code] = true
		}
		if payload, ok := e.Payload.(map[string]any); ok && e.delivered() {
			if n, err := strconv.Atoi(fmt.Sprint(payload["n"])); err == nil {
				numbers[n] = true
			}
		}
	}
	check := func(what string, got, want int) {
		r.t.Helper()
		if got != want {
			r.t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	if want.Accepted != nil {
		check("accepted", got["accepted"], *want.Accepted)
		check("duplicate", got["duplicate"], *want.Duplicate)
	} else {
		check("accepted or duplicate", got["accepted"]+got["duplicate"], *want.AcceptedOrDuplicate)
	}
	check("rejected", got["rejected"], want.Rejected)
	check("dropped", got["dropped"], want.Dropped)
	check("failed", got["failed"], want.Failed)

	requests := 0
	flushes := []bool{}
	for _, a := range r.answers {
		requests += a.Requests
		flushes = append(flushes, a.Flushes...)
	}
	if requests < want.MinRequests || want.MaxRequests > 0 && requests > want.MaxRequests {
		r.t.Errorf("requests: %d, want %d to %d", requests, want.MinRequests, want.MaxRequests)
	}
	if !slices.Equal(flushes, want.Flushes) {
		r.t.Errorf("flushes: %v, want %v", flushes, want.Flushes)
	}
	if last := r.answers[len(r.answers)-1].Closed; want.Closed != nil && (last == nil || *last != *want.Closed) {
		r.t.Errorf("closed: %v, want %t", last, *want.Closed)
	}
	if got := slices.Sorted(maps.Keys(codes)); !slices.Equal(got, want.Codes) {
		r.t.Errorf("codes: %v, want %v", got, want.Codes)
	}
	for _, n := range want.DeliveredN {
		if !numbers[n] {
			r.t.Errorf("the event %d is not among those delivered", n)
		}
	}
}

// checkRequests checks what the proxy saw.
func (r *run) checkRequests() {
	setting := func(name string) any {
		if v, ok := r.scenario.Options[name]; ok {
			return v
		}
		return options[name]
	}
	number := func(name string) int {
		n, err := strconv.Atoi(fmt.Sprintf("%.0f", reflect.ValueOf(setting(name)).Convert(reflect.TypeFor[float64]()).Float()))
		if err != nil {
			r.t.Fatal(err)
		}
		return n
	}
	seen := r.proxy.seen()
	told := 0
	for _, a := range r.answers {
		told += a.Requests
	}
	refused := slices.ContainsFunc(r.scenario.Faults, func(f fault) bool { return f.Do == "refuse" })
	// A request that Close broke off may have been broken off before it was one.
	if len(seen) > told || len(seen) < told-1 && !refused {
		r.t.Errorf("the SDK says that it made %d requests, the proxy saw %d", told, len(seen))
	}
	text := map[string]json.RawMessage{}
	for i, q := range seen {
		if len(q.events) == 0 || len(q.events) > number("max_batch_events") {
			r.t.Errorf("request %d has %d events", i+1, len(q.events))
		}
		if q.bytes > number("max_batch_bytes") && len(q.events) > 1 {
			r.t.Errorf("request %d has %d bytes", i+1, q.bytes)
		}
		if allowed := setting("gzip") == true; q.gzip && !allowed || allowed && !q.gzip && q.bytes >= 1<<10 {
			r.t.Errorf("request %d has %d bytes before compression; gzip: %t", i+1, q.bytes, q.gzip)
		}
		if !strings.HasPrefix(q.userAgent, "analytics-") || !strings.Contains(q.userAgent, "/") {
			r.t.Errorf("request %d has the User-Agent %q", i+1, q.userAgent)
		}
		for _, e := range q.events {
			id := idOf(e)
			if before, again := text[id]; again && !reflect.DeepEqual(parse(r.t, before), parse(r.t, e)) {
				r.t.Errorf("the event was sent as %s and then as %s", before, e)
			}
			text[id] = e
		}
	}
	if wait := time.Duration(r.scenario.Expect.MinWaitMS) * time.Millisecond; wait > 0 {
		if len(seen) < 2 || seen[1].at.Sub(seen[0].at) < wait {
			r.t.Errorf("the second request came less than %s after the first", wait)
		}
	}
}

func parse(t *testing.T, text []byte) (e event) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&e); err != nil {
		t.Errorf("an event can't be read: %v", err)
	}
	return e
}

// checkRows checks that the server has what was delivered, and nothing else.
func (r *run) checkRows(events []event) {
	status, text, err := harness.Request(r.t.Context(), http.MethodGet, r.server.URL+"/events/export")
	if err != nil || status != http.StatusOK {
		r.t.Fatal(status, err)
	}
	rows := map[string]event{}
	for line := range bytes.Lines(text) {
		row := parse(r.t, line)
		if _, twice := rows[row.ID]; twice {
			r.t.Errorf("the server has the event %s twice", row.ID)
		}
		rows[row.ID] = row
	}
	for _, e := range events {
		if !e.delivered() {
			continue
		}
		row, there := rows[e.ID]
		want := e
		want.Outcome, want.Code = "", ""
		switch {
		case !there:
			r.t.Errorf("%s, but the server doesn't have it: %+v", e.Outcome, e)
		case !reflect.DeepEqual(row, want):
			r.t.Errorf("the server has %+v, the driver says %+v", row, want)
		}
		delete(rows, e.ID)
	}
	for _, row := range rows {
		r.t.Errorf("the server has an event that the driver doesn't call delivered: %+v", row)
	}
}
