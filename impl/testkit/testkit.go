// Package testkit gives tests real servers: private PostgreSQL and Redis
// instances on free ports, a database and a Redis number of its own for each test,
// and servers of its own for a test that stops or kills them. It never uses a
// server that somebody else runs.
//
// `make test` starts one PostgreSQL and one Redis for the whole run (see
// internal/harness/cmd/with-servers). A plain `go test` starts them per test binary, and skips,
// loudly, where the programs are missing.
package testkit

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"highload.example/analytics/internal/harness"
)

const (
	// EnvRequired, when set, makes a missing program a failure.
	EnvRequired = "TESTKIT_REQUIRED"
	// EnvLong, when set, asks for tests at their full length, as make nightly does.
	EnvLong = "ANALYTICS_TEST_LONG"
)

// Long says whether tests run at their full length. Those with random cases run fewer
// of them otherwise, from the same seeds.
func Long() bool { return os.Getenv(EnvLong) != "" }

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
	postgres *harness.Server
	redis    *harness.Server
}

func (s *sharedServers) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, server := range []*harness.Server{s.postgres, s.redis} {
		if server != nil {
			server.Remove()
		}
	}
	s.postgres, s.redis = nil, nil
}

// StartFailed ends a test that can't start a program. Only where the program isn't
// installed, and tests aren't required, is the test skipped; everything else is a
// failure.
func StartFailed(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, harness.ErrNotInstalled) || os.Getenv(EnvRequired) != "" {
		t.Fatalf("testkit: %v", err)
	}
	t.Skipf("\n*** testkit: SKIPPED, this test ran NOTHING: %v\n*** `make test` installs what is missing, or says how", err)
}

// FreePort returns a TCP port of 127.0.0.1 that was free a moment ago.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := harness.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Eventually asks every 10 ms whether cond holds, and fails the test, naming
// what it waited for, if it doesn't within the time.
func Eventually(t testing.TB, timeout time.Duration, what string, cond func() bool) {
	t.Helper()
	if !harness.PollUntil(timeout, cond) {
		t.Fatalf("waited %s for %s: it didn't come", timeout, what)
	}
}
