package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"highload.example/analytics/impl/app"
	"highload.example/analytics/impl/testkit"
	"highload.example/analytics/impl/testkit/contract"
	"highload.example/analytics/internal/harness"
)

func TestMain(m *testing.M) {
	testkit.MainAsProgram(m, func() int { return app.Main("test", os.Args[1:], os.Stdout, os.Stderr) })
}

// run runs the program to its end.
func run(t *testing.T, args []string, env ...string) (code int, stdout, stderr string) {
	t.Helper()
	self := testkit.Self()
	p, err := harness.StartProcess(harness.ProcessConfig{Name: "analytics", Program: self.Path, Args: args, Env: append(self.Env, env...)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.AwaitEnd(t.Context(), harness.StopTimeout); err != nil {
		t.Error(errors.Join(err, p.Kill()))
	}
	return p.ExitCode(), p.Stdout(), p.Stderr()
}

// server is a running program.
type server struct {
	*harness.Product

	t      *testing.T
	client *http.Client // checks answers against the contract
}

// start starts the server on a free port and waits until it is ready. It is
// stopped at the end of the test, and must then exit with 0.
func start(t *testing.T, env ...string) *server {
	t.Helper()
	s := launch(t, env...)
	s.awaitReady()
	return s
}

// patient are settings with which a busy machine makes no request run into a time-out. A
// test that is about a time-out sets it.
var patient = []string{
	"REQUEST_TIMEOUT=5m", "BODY_TIMEOUT=5m", "QUERY_TIMEOUT=5m", "STARTUP_TIMEOUT=5m", "SHUTDOWN_TIMEOUT=5m", "SHUTDOWN_DELAY=0s",
}

// patience is how long a test waits for what should come at once. It ends a test that hangs.
const patience = time.Minute

// launch starts the server without waiting for more than its address.
func launch(t *testing.T, env ...string) *server {
	t.Helper()
	p := testkit.LaunchProduct(t, harness.ProductConfig{Env: slices.Concat(patient, env)})
	return &server{Product: p, t: t, client: contract.Client(t)}
}

func (s *server) awaitReady() {
	s.t.Helper()
	if err := s.AwaitReady(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) log() string { return s.Process().Stderr() }

func (s *server) out() string { return s.Process().Stdout() }

// stop ends the server in order, as orchestrators do.
func (s *server) stop() {
	s.t.Helper()
	if err := s.Terminate(context.Background()); err != nil {
		s.t.Error(err)
	}
}

// kill ends the server as a power cut would.
func (s *server) kill() {
	s.t.Helper()
	if err := s.Kill(); err != nil {
		s.t.Error(err)
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (s *server) do(method, path, body string, header ...string) answer {
	s.t.Helper()
	a, err := s.try(context.Background(), method, path, body, header...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// try sends a request; header is name, value, name, value.
func (s *server) try(ctx context.Context, method, path, body string, header ...string) (answer, error) {
	var reader io.Reader = http.NoBody
	if body != "" {
		reader = strings.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, method, s.URL+path, reader)
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := s.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	return answer{status: response.StatusCode, header: response.Header, body: string(content)}, nil
}

func (s *server) send(body string, header ...string) answer {
	s.t.Helper()
	return s.do(http.MethodPost, "/event", body, header...)
}

// metric returns the value of a series, which is 0 as long as there is none.
func (s *server) metric(series string) (value float64) {
	s.t.Helper()
	for line := range strings.SplitSeq(s.do(http.MethodGet, "/metrics", "").body, "\n") {
		if text, ok := strings.CutPrefix(line, series+" "); ok {
			var err error
			if value, err = strconv.ParseFloat(text, 64); err != nil {
				s.t.Fatalf("%s: %v", line, err)
			}
		}
	}
	return value
}

// count asks for the count of a type and wants an answer 200.
func (s *server) count(eventType string) string {
	s.t.Helper()
	a := s.do(http.MethodGet, "/stats/"+eventType, "")
	if a.status != http.StatusOK {
		s.t.Fatalf("GET /stats/%s answered %d %s", eventType, a.status, a.body)
	}
	return a.body
}

// login is the README's event.
const login = `{"user_id": 42, "event_type": "login", "timestamp": 1690000000}`

// numbered is an event whose identity is its number.
func numbered(eventType string, n int) string {
	return fmt.Sprintf(`{"user_id":%d,"event_type":%q,"timestamp":1690000000,"event_id":"01890a5d-ac96-774b-bcce-%012x"}`, n%7+1, eventType, n+1)
}

func counted(eventType string, n int) string {
	return fmt.Sprintf(`{"event_type":%q,"count":%d}`, eventType, n)
}
