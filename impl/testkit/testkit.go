// Package testkit gives tests real servers: private PostgreSQL and Redis
// instances on free ports, a database and a Redis number of its own for each test,
// and servers of its own for a test that stops or kills them. It never uses a
// server that somebody else runs.
//
// `make test` starts one PostgreSQL and one Redis for the whole run (see
// cmd/with-servers). A plain `go test` starts them per test binary, and skips,
// loudly, where the programs are missing.
package testkit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The variables that with-servers hands to the tests. They are named so that a
// developer's own PG_URL is never taken for a test server.
const (
	EnvPostgres = "TESTKIT_PG_URL"
	EnvRedis    = "TESTKIT_REDIS_URL"
	// EnvRequired, when set, makes a missing program a failure.
	EnvRequired = "TESTKIT_REQUIRED"
)

// Main runs a package's tests: func TestMain(m *testing.M) { testkit.Main(m) }.
// Afterwards it stops what the kit started, and fails the package if goroutines
// are left.
func Main(m *testing.M) {
	code := m.Run()
	shared.stop()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "testkit: goroutines are left after the tests:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// shared are the servers of this process, where the run has none: started by the
// first test that asks, stopped by Main. A test binary has no other place to
// keep them.
var shared sharedServers

type sharedServers struct {
	mu       sync.Mutex
	postgres *Server
	redis    *Server
}

func (s *sharedServers) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, server := range []*Server{s.postgres, s.redis} {
		if server != nil {
			server.remove()
		}
	}
	s.postgres, s.redis = nil, nil
}

// cannotStart ends a test that can't have its server. Only where the program isn't
// installed, and tests aren't required, is the test skipped; everything else is a
// failure.
func cannotStart(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, errNotInstalled) || os.Getenv(EnvRequired) != "" {
		t.Fatalf("testkit: %v", err)
	}
	t.Skipf("\n*** testkit: SKIPPED, this test ran NOTHING: %v\n*** `make test` installs what is missing, or says how", err)
}

// FreePort returns a TCP port of 127.0.0.1 that was free a moment ago.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("finding a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// Eventually asks every 10 ms whether cond holds, and fails the test, naming
// what it waited for, if it doesn't within the time.
func Eventually(t testing.TB, timeout time.Duration, what string, cond func() bool) {
	t.Helper()
	if !poll(timeout, cond) {
		t.Fatalf("waited %s in vain for %s", timeout, what)
	}
}

func poll(timeout time.Duration, cond func() bool) bool {
	deadline := time.Now().Add(timeout)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !cond() {
		if time.Now().After(deadline) {
			return false
		}
		<-ticker.C
	}
	return true
}
