package cli_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"highload.example/analytics/impl/cli"
	"highload.example/analytics/impl/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// run runs a command and returns what it wrote.
func run(t *testing.T, command interface {
	Run(ctx context.Context, env *cli.Env) error
}, stdin string,
) (stdout, stderr string, err error) {
	t.Helper()
	var out, log bytes.Buffer
	err = command.Run(t.Context(), &cli.Env{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &log, Now: func() time.Time { return now }})
	return out.String(), log.String(), err
}

// store stands for a server: it keeps the events that POST /events brings, by id, and
// does as its faults say.
type store struct {
	mu       sync.Mutex
	lines    []string
	ids      map[string]bool
	faults   []func(w http.ResponseWriter, lines []string) bool // each for one request; true: it has answered
	requests int
	limit    int
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/limits" {
		fmt.Fprintf(w, `{"max_batch_events":%d,"max_batch_bytes":1000000}`, s.limit)
		return
	}
	s.requests++
	unzipped, err := gzip.NewReader(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	text, err := io.ReadAll(unzipped)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	lines := strings.Split(string(text), "\n")
	if len(s.faults) > 0 {
		fault := s.faults[0]
		s.faults = s.faults[1:]
		if fault != nil && fault(w, lines) {
			return
		}
	}
	received, duplicate := s.keep(lines)
	fmt.Fprintf(w, `{"received":%d,"duplicate":%d,"rejected":0,"retry":0,"results":[]}`, received, duplicate)
}

// keep stores events, each id once.
func (s *store) keep(lines []string) (received, duplicate int) {
	for _, text := range lines {
		var e struct {
			ID string `json:"event_id"`
		}
		if json.Unmarshal([]byte(text), &e) != nil || len(e.ID) != 36 {
			continue
		}
		if s.ids[e.ID] {
			duplicate++
			continue
		}
		s.ids[e.ID] = true
		s.lines = append(s.lines, text)
		received++
	}
	return received, duplicate
}

func serve(t *testing.T, limit int) (*store, cli.Server) {
	t.Helper()
	s := &store{ids: map[string]bool{}, limit: limit}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, cli.Server{URL: server.URL, Timeout: 10 * time.Second}
}

func events(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"user_id":1,"event_type":"a","timestamp":%d}`+"\n", 1700000000+i/3) // some are alike
	}
	return b.String()
}

func TestImportTwiceStoresOnce(t *testing.T) {
	t.Parallel()
	s, server := serve(t, 10)
	file := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(file, []byte(events(95)), 0o600); err != nil {
		t.Fatal(err)
	}
	for round, want := range []string{"95 received, 0 there before, 0 rejected", "0 received, 95 there before, 0 rejected"} {
		out, _, err := run(t, &cli.Import{Server: server, File: file, Batch: 1000}, "")
		if err != nil || !strings.HasPrefix(out, want) {
			t.Errorf("round %d: %q, %v", round, out, err)
		}
	}
	if len(s.lines) != 95 || s.requests != 20 {
		t.Errorf("%d lines in %d requests", len(s.lines), s.requests)
	}
	if _, err := os.Stat(file + ".progress"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the progress is left: %v", err)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := io.WriteString(w, events(95)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out, _, err := run(t, &cli.Import{Server: server, File: "-", Batch: 7}, zipped.String())
	if err != nil || !strings.HasPrefix(out, "0 received, 95 there before") {
		t.Errorf("compressed, from standard input: %q, %v", out, err)
	}
}

// TestImportGoesOn: what a server answers for the moment is sent again, and nothing else;
// what it refuses ends the command, which goes on from there the next time.
func TestImportGoesOn(t *testing.T) {
	t.Parallel()
	s, server := serve(t, 10)
	s.faults = []func(w http.ResponseWriter, lines []string) bool{
		func(w http.ResponseWriter, _ []string) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		},
		func(w http.ResponseWriter, lines []string) bool { // stored, but the answer is lost
			s.keep(lines)
			panic(http.ErrAbortHandler)
		},
		nil,
		func(w http.ResponseWriter, lines []string) bool { // two are to be sent again
			received, _ := s.keep(lines[2:])
			fmt.Fprintf(w, `{"received":%d,"duplicate":0,"rejected":0,"retry":2,"results":[{"index":0,"status":"retry"},{"index":1,"status":"retry"}]}`, received)
			return true
		},
		func(_ http.ResponseWriter, lines []string) bool {
			if len(lines) != 2 {
				t.Errorf("%d events were sent again, want 2", len(lines))
			}
			return false
		},
		func(w http.ResponseWriter, _ []string) bool {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		},
	}
	file := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(file, []byte(events(45)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := run(t, &cli.Import{Server: server, File: file, Batch: 1000}, "")
	if err == nil || !strings.Contains(err.Error(), "401") || !strings.Contains(err.Error(), "goes on where it stopped") {
		t.Fatalf("refused: %v", err)
	}
	if len(s.lines) != 20 {
		t.Errorf("%d are stored before", len(s.lines))
	}
	before := s.requests
	out, log, err := run(t, &cli.Import{Server: server, File: file, Batch: 1000}, "")
	if err != nil || !strings.HasPrefix(out, "25 received, 0 there before") || !strings.Contains(log, "behind line 20") {
		t.Errorf("%q %q %v", out, log, err)
	}
	if len(s.lines) != 45 || s.requests-before != 3 {
		t.Errorf("%d are stored, in %d more requests", len(s.lines), s.requests-before)
	}
}

// TestImportTellsHowLongItTakes: where no bar can be drawn there are lines, with the time
// that is left, also of a compressed file.
func TestImportTellsHowLongItTakes(t *testing.T) {
	t.Parallel()
	_, server := serve(t, 100)
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	for i := range 4000 { // more than is read ahead
		fmt.Fprintf(w, `{"user_id":1,"event_type":"a","timestamp":1700000000,"payload":{"n":"%x"}}`+"\n", sha256.Sum256([]byte{byte(i), byte(i >> 8)}))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "events.ndjson.gz")
	if err := os.WriteFile(file, zipped.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	clock := testkit.NewClock(now)
	var out, log bytes.Buffer
	env := &cli.Env{Stdout: &out, Stderr: &log, Now: func() time.Time { clock.Advance(100 * time.Millisecond); return clock.Now() }}
	if err := (&cli.Import{Server: server, File: file, Batch: 20}).Run(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	shape := regexp.MustCompile(`^([0-9]+) events, [0-9]+ per second, ([0-9]+) %, ([0-9]+)s left$`)
	last := ""
	for _, line := range lines {
		parts := shape.FindStringSubmatch(line)
		if parts == nil || parts[1] <= last && len(parts[1]) <= len(last) {
			t.Errorf("%q, after %q events", line, last)
			continue
		}
		last = parts[1]
	}
	if len(lines) < 3 {
		t.Errorf("too few lines: %q", lines)
	}
	if !strings.HasPrefix(out.String(), "4000 received") {
		t.Errorf("%q", out.String())
	}
}

func TestImportReportsWhatIsRejected(t *testing.T) {
	t.Parallel()
	s, server := serve(t, 3)
	s.faults = []func(w http.ResponseWriter, lines []string) bool{
		func(w http.ResponseWriter, lines []string) bool {
			s.keep(lines[:2])
			fmt.Fprint(w, `{"received":2,"duplicate":0,"rejected":1,"retry":0,"results":[{"index":2,"status":"rejected","errors":[{"pointer":"/user_id","code":"minimum","detail":"must be at least 1"}]}]}`)
			return true
		},
		func(w http.ResponseWriter, _ []string) bool {
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, `{"status":422,"title":"no","errors":[{"pointer":"/0/event_type","code":"pattern","detail":"must match"}]}`)
			return true
		},
	}
	out, log, err := run(t, &cli.Import{Server: server, File: "-", Batch: 1000}, events(2)+"\n{}\n[]\n")
	if !errors.Is(err, cli.ErrRejected) || !strings.HasPrefix(out, "2 received, 0 there before, 2 rejected") {
		t.Errorf("%q, %v", out, err)
	}
	if log != "line 4: /user_id must be at least 1\nline 5: /event_type must match\n" {
		t.Errorf("reported %q", log)
	}
}

// exporting stands for a server that has n events, and cuts its answers after so many bytes.
func exporting(t *testing.T, n int, cuts ...int) cli.Server {
	t.Helper()
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf(`{"user_id":1,"event_type":"a","timestamp":%d,"event_id":"00000000-0000-7000-8000-%012d"}`, 1700000000+i, i))
	}
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		left := lines
		if cursor := r.URL.Query().Get("cursor"); cursor != "" {
			at := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, strings.Split(cursor, "_")[1]) })
			left = lines[at+1:]
		}
		text := strings.Join(left, "\n") + "\n"
		if len(left) == 0 {
			text = ""
		}
		if len(cuts) > 0 && cuts[0] < len(text) {
			_, _ = io.WriteString(w, text[:cuts[0]])
			cuts = cuts[1:]
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	return cli.Server{URL: server.URL, Timeout: 10 * time.Second}
}

func TestExportMendsCuts(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "events.ndjson")
	if _, _, err := run(t, &cli.Export{Server: exporting(t, 50, 250, 1000), Format: "ndjson", Output: file}, ""); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(file)
	if err != nil || bytes.Count(want, []byte("\n")) != 50 {
		t.Fatalf("%d lines, %v", bytes.Count(want, []byte("\n")), err)
	}
	// A file of which the end is missing is gone on with.
	if err := os.WriteFile(file, want[:777], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, log, err := run(t, &cli.Export{Server: exporting(t, 50), Format: "ndjson", Output: file}, ""); err != nil || !strings.Contains(log, "going on behind") {
		t.Fatalf("%q %v", log, err)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("gone on with, it differs: %v", err)
	}
	if err := os.WriteFile(file, []byte("something else\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := run(t, &cli.Export{Server: exporting(t, 50), Format: "ndjson", Output: file}, ""); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("something else was written over: %v", err)
	}
}

func TestQuestionsAreAskedAsTheContractHasThem(t *testing.T) {
	t.Parallel()
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = r.Method + " " + r.URL.String() + " " + string(body)
		fmt.Fprint(w, `{"groups":[{"key":["pro"],"value":12.50}],"other":{"groups":2,"value":3},"points":[{"time":"2026-11-22T00:00:00Z","count":5,"partial":true}],"count":5}`)
	}))
	t.Cleanup(server.Close)
	at := cli.Server{URL: server.URL, Timeout: 10 * time.Second}
	out, _, err := run(t, &cli.Ask{
		Server: at, Range: cli.Range{From: "7d", To: "2026-11-23"}, Metric: "sum", Value: "payload.price", By: []string{"payload.plan"},
		Where: []string{"payload.plan!=free", "payload.n>=1.50", "payload.x?", "payload.t^=a=b"}, Limit: 1, Other: true,
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	want := `POST /query {"filters":[{"field":"payload.plan","op":"neq","value":"free"},{"field":"payload.n","op":"gte","value":1.50},` +
		`{"field":"payload.x","op":"exists"},{"field":"payload.t","op":"starts_with","value":"a=b"}],"from":1794830400,"group_by":["payload.plan"],"include_other":true,` +
		`"limit":1,"metric":"sum","to":1795392000,"value":"payload.price"}`
	if got != want {
		t.Errorf("asked %s\nwant  %s", got, want)
	}
	if strings.Join(strings.Fields(out), " ") != `payload.plan sum "pro" 12.50 (2 others) 3` {
		t.Errorf("shown as %q", out)
	}
	out, _, err = run(t, &cli.Series{Server: at, Type: "a b", Interval: "day", TZ: "UTC"}, "")
	if err != nil || got != "GET /stats/a%20b/series?interval=day&tz=UTC " || strings.Join(strings.Fields(out), " ") != "2026-11-22T00:00:00Z 5 partial" {
		t.Errorf("%q: %q, %v", got, out, err)
	}
	for _, command := range []*cli.Ask{{Range: cli.Range{From: "soon"}}, {Where: []string{"plan"}}} {
		if _, _, err := run(t, command, ""); err == nil || !strings.Contains(err.Error(), "write ") {
			t.Errorf("the way out is missing: %v", err)
		}
	}
}

func TestProblemsAreShown(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"status":422,"title":"The request breaks the contract","detail":"see errors","errors":[{"pointer":"/user_id","detail":"must be at least 1"}]}`)
	}))
	_, _, err := run(t, &cli.Send{Server: cli.Server{URL: server.URL, Timeout: time.Minute}, Type: "a", At: "now"}, "")
	if err == nil || !strings.Contains(err.Error(), "/user_id must be at least 1") {
		t.Errorf("%v", err)
	}
	server.Close()
	_, _, err = run(t, &cli.Types{Server: cli.Server{URL: server.URL, Timeout: time.Minute}}, "")
	if err == nil || !strings.Contains(err.Error(), "is the server running") {
		t.Errorf("%v", err)
	}
}

// TestTailOutlivesARestart: what arrives while the server doesn't answer is shown afterwards,
// once, even when that took longer than events may be late.
func TestTailOutlivesARestart(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(now)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch asked++; asked {
		case 1:
			fmt.Fprint(w, `{"events":[{"user_id":1,"event_type":"a","timestamp":1795435200,"event_id":"1"}]}`)
		case 2:
			clock.Advance(time.Hour)
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			panic(http.ErrAbortHandler)
		case 4:
			if from := r.URL.Query().Get("from"); from != "1795435080" {
				t.Errorf("asked from %s on", from)
			}
			fmt.Fprint(w, `{"events":[{"user_id":1,"event_type":"a","timestamp":1795435260,"event_id":"2"},{"user_id":1,"event_type":"a","timestamp":1795435200,"event_id":"1"}]}`)
		default:
			cancel()
		}
	}))
	t.Cleanup(server.Close)
	var out, log bytes.Buffer
	tail := &cli.Tail{Server: cli.Server{URL: server.URL, Timeout: 10 * time.Second}, Late: 2 * time.Minute, Every: time.Millisecond}
	if err := tail.Run(ctx, &cli.Env{Stdout: &out, Stderr: &log, Now: clock.Now}); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 2 || !strings.Contains(lines[0], `"event_id":"1"`) || !strings.Contains(lines[1], `"event_id":"2"`) {
		t.Errorf("shown: %q", lines)
	}
	if strings.Count(log.String(), "trying again") != 1 {
		t.Errorf("said: %q", log.String())
	}
}
