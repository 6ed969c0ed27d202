package app_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"highload.example/analytics/impl/app"
	"highload.example/analytics/impl/testkit"
	"highload.example/analytics/impl/testkit/contract"
)

// asProgram makes the test binary be the program, so that tests can start, signal
// and kill real processes, race detector included.
const asProgram = "ANALYTICS_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(app.Main("test", os.Args[1:], os.Stdout, os.Stderr))
	}
	testkit.Main(m)
}

// program returns the program as a command with nothing of our environment but
// what is given, "NAME=value".
func program(args []string, env ...string) *exec.Cmd {
	command := exec.Command(os.Args[0], args...)
	command.Env = append([]string{asProgram + "=1", "PATH=" + os.Getenv("PATH"), "GORACE=halt_on_error=1"}, env...)
	return command
}

// run runs the program to its end.
func run(t *testing.T, args []string, env ...string) (code int, stdout, stderr string) {
	t.Helper()
	command := program(args, env...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	watchdog := time.AfterFunc(time.Minute, func() { _ = command.Process.Kill() })
	defer watchdog.Stop()
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), out.String(), errs.String()
}

// server is a running program.
type server struct {
	t       *testing.T
	command *exec.Cmd
	url     string
	client  *http.Client // checks answers against the contract
	ended   chan struct{}

	mu     sync.Mutex
	stderr bytes.Buffer
	stdout bytes.Buffer
}

// start starts the server on a free port and waits until it is ready. It is
// stopped at the end of the test, and must then exit with 0.
func start(t *testing.T, env ...string) *server {
	t.Helper()
	s := launch(t, env...)
	s.awaitReady()
	return s
}

// launch starts the server without waiting for more than its banner.
func launch(t *testing.T, env ...string) *server {
	t.Helper()
	s := &server{t: t, client: contract.Client(t), ended: make(chan struct{})}
	s.command = program(nil, append([]string{"ADDR=127.0.0.1:0", "SHUTDOWN_DELAY=0s"}, env...)...)
	stdout, err := s.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := s.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	url := make(chan string, 1)
	var reading sync.WaitGroup
	reading.Go(func() {
		scanner := bufio.NewScanner(stdout)
		for scanner.Scan() {
			s.mu.Lock()
			fmt.Fprintln(&s.stdout, scanner.Text())
			s.mu.Unlock()
			if _, after, ok := strings.Cut(scanner.Text(), "API "); ok {
				url <- strings.TrimSpace(after)
			}
		}
	})
	reading.Go(func() {
		scanner := bufio.NewScanner(stderr)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			s.mu.Lock()
			fmt.Fprintln(&s.stderr, scanner.Text())
			s.mu.Unlock()
		}
	})
	go func() {
		reading.Wait()
		_ = s.command.Wait() // its exit code is in ProcessState
		close(s.ended)
	}()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("the server wrote:\n%s%s", s.out(), s.log())
		}
	})
	select {
	case s.url = <-url:
	case <-s.ended:
		t.Fatalf("the server ended at once: %s", s.log())
	case <-time.After(time.Minute):
		t.Fatal("the server didn't say where it is")
	}
	return s
}

func (s *server) awaitReady() {
	s.t.Helper()
	testkit.Eventually(s.t, 30*time.Second, "the server to be ready", func() bool {
		response, err := s.client.Get(s.url + "/readyz")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

func (s *server) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.String()
}

func (s *server) out() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stdout.String()
}

// stop asks the server to stop, unless it has ended, and checks how it did.
func (s *server) stop() {
	s.t.Helper()
	select {
	case <-s.ended:
		return
	default:
	}
	_ = s.command.Process.Signal(syscall.SIGTERM)
	s.awaitEnd()
	if code := s.command.ProcessState.ExitCode(); code != 0 {
		s.t.Errorf("the server exited with %d", code)
	}
}

func (s *server) awaitEnd() {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(30 * time.Second):
		_ = s.command.Process.Kill()
		<-s.ended
		s.t.Error("the server didn't end within 30 s")
	}
}

// kill ends the server as a power cut would.
func (s *server) kill() {
	_ = s.command.Process.Kill()
	<-s.ended
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
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, reader)
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
