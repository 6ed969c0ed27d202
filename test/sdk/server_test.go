//go:build sdk

package sdk_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"highload.example/analytics/impl/app"
	"highload.example/analytics/impl/testkit"
)

// asProgram makes the test binary be the program.
const asProgram = "ANALYTICS_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(app.Main("test", os.Args[1:], os.Stdout, os.Stderr))
	}
	testkit.Main(m)
}

// server is an embedded analytics of a scenario's own.
type server struct {
	t       *testing.T
	env     []string
	port    int
	client  *http.Client
	command *exec.Cmd
	ended   chan struct{}
	stderr  *lockedBuffer
}

// startServer starts one, with more settings.
func startServer(t *testing.T, settings map[string]string) *server {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	s := &server{
		t: t, stderr: &lockedBuffer{}, client: &http.Client{Transport: transport, Timeout: time.Minute},
		env: []string{asProgram + "=1", "GORACE=halt_on_error=1", "DATA_DIR=" + t.TempDir(), "RATE_LIMIT=0", "LOG_LEVEL=WARN"},
	}
	for name, value := range settings {
		s.env = append(s.env, name+"="+value)
	}
	// A port that was free can be taken before the server binds it: then another is tried.
	for range 5 {
		s.port = testkit.FreePort(t)
		if s.start() {
			t.Cleanup(s.stop)
			return s
		}
	}
	t.Fatalf("the server didn't start: %s", s.stderr)
	return nil
}

func (s *server) url() string { return fmt.Sprintf("http://127.0.0.1:%d", s.port) }

// start starts the program and reports whether it got ready.
func (s *server) start() bool {
	s.command = exec.Command(os.Args[0])
	s.command.Env = append([]string{fmt.Sprintf("ADDR=127.0.0.1:%d", s.port)}, s.env...)
	s.command.Stderr = s.stderr
	if err := s.command.Start(); err != nil {
		s.t.Errorf("the server can't be started: %v", err)
		return false
	}
	command, ended := s.command, make(chan struct{})
	s.ended = ended
	go func() {
		_ = command.Wait() // its exit code is in ProcessState
		close(ended)
	}()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		response, err := s.client.Get(s.url() + "/readyz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-ended:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
	_ = command.Process.Kill() // it ends, one way or the other
	<-ended
	return false
}

// kill ends the program at once.
func (s *server) kill() {
	_ = s.command.Process.Kill() // fails when it has ended
	<-s.ended
}

// stop ends the program in order.
func (s *server) stop() {
	_ = s.command.Process.Signal(os.Interrupt) // fails when it has ended
	select {
	case <-s.ended:
	case <-time.After(time.Minute):
		s.kill()
		s.t.Error("the server didn't end within a minute")
	}
	if code := s.command.ProcessState.ExitCode(); code != 0 {
		s.t.Errorf("the server exited with %d", code)
	}
	if s.t.Failed() {
		s.t.Logf("the server wrote:\n%s", s.stderr)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
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
