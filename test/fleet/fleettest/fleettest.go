// Package fleettest adapts fleets and their traffic to tests.
package fleettest

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"highload.example/analytics/impl/testkit"
	"highload.example/analytics/impl/testkit/contract"
	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/fleet"
)

// Program returns the product with the race detector, which is built once for all
// packages, into the repository's bin/.
func Program(t testing.TB) harness.Program {
	t.Helper()
	program, err := program()
	Must(t, err)
	return program
}

var program = sync.OnceValues(func() (harness.Program, error) {
	root, err := harness.Root()
	if err != nil {
		return harness.Program{}, err
	}
	return harness.BuildProduct(context.Background(), root, harness.Race)
})

// Open opens a fleet of Program that ends with the test. Its logs are shown if the test
// fails, and mustn't report a defect.
func Open(t testing.TB, c fleet.Config) *fleet.Fleet {
	t.Helper()
	if c.Program.Path == "" {
		c.Program = Program(t)
	}
	c.Logs = t.TempDir()
	f, err := fleet.Open(t.Context(), c)
	t.Cleanup(func() {
		if err := f.Close(context.Background()); err != nil {
			t.Error(err)
		}
		checkLogs(t, c.Logs)
	})
	if err != nil {
		testkit.StartFailed(t, err)
	}
	return f
}

// shownLog is how many bytes of the end of a log are shown.
const shownLog = 64 << 10

func checkLogs(t testing.TB, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Error(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		if bytes.Contains(text, []byte("defect")) {
			t.Errorf("%s reports a defect", filepath.Base(file))
		}
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(file), text[max(0, len(text)-shownLog):])
		}
	}
}

// clientTimeout bounds what hangs.
const clientTimeout = time.Minute

// Client returns a client that checks every response against the contract.
func Client(t testing.TB) *http.Client {
	t.Helper()
	client := contract.Client(t)
	client.Timeout = clientTimeout
	return client
}

// Traffic is a fleet's traffic whose methods fail the test.
type Traffic struct {
	*fleet.Traffic

	t testing.TB
}

// StartTraffic starts traffic that stops with the test. Its responses are checked against
// the contract.
func StartTraffic(t testing.TB, f *fleet.Fleet, c fleet.TrafficConfig) *Traffic {
	t.Helper()
	c.Client = Client(t)
	traffic := f.StartTraffic(c)
	t.Cleanup(traffic.Stop)
	return &Traffic{Traffic: traffic, t: t}
}

// Await waits until some hundred more requests have completed.
func (tr *Traffic) Await() {
	tr.t.Helper()
	Must(tr.t, tr.Traffic.Await(tr.t.Context()))
}

// Check stops the traffic: see fleet.Traffic.Check.
func (tr *Traffic) Check(database string) {
	tr.t.Helper()
	if err := tr.Traffic.Check(tr.t.Context(), database); err != nil {
		tr.t.Error(err)
	}
	tr.t.Log(tr.Traffic)
}

// ExpectResponses fails the test if there were responses other than these, POST 202 and
// GET 200.
func (tr *Traffic) ExpectResponses(allowed ...string) {
	tr.t.Helper()
	if err := tr.Traffic.ExpectResponses(allowed...); err != nil {
		tr.t.Error(err)
	}
}

// Must fails the test at an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
