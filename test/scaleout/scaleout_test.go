// Package scaleout_test tests what a deployment grows into: Redis as a Cluster and behind
// Sentinel, PostgreSQL with a synchronous standby, many replicas. They are real, and under
// traffic one part of each fails.
package scaleout_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"highload.example/analytics/impl/testkit"
	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/fleet"
	"highload.example/analytics/test/fleet/fleettest"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// hangTimeout bounds what hangs.
const hangTimeout = 90 * time.Second

// startTraffic has clients send events to all replicas, until each event is stored.
func startTraffic(t *testing.T, f *fleet.Fleet, types ...string) *fleettest.Traffic {
	t.Helper()
	return fleettest.StartTraffic(t, f, fleet.TrafficConfig{Types: types, Repeat: true})
}

// awaitReadyz waits until every replica's /readyz says something of what it depends on.
func awaitReadyz(t *testing.T, f *fleet.Fleet, want string) {
	t.Helper()
	for _, r := range f.Replicas {
		fleettest.Must(t, harness.Poll(t.Context(), hangTimeout, func(ctx context.Context) error {
			_, body, err := harness.Request(ctx, http.MethodGet, r.URL+"/readyz")
			if err == nil && !bytes.Contains(body, []byte(want)) {
				err = fmt.Errorf("%s says %s, and not %s", r.Name, body, want)
			}
			return err
		}))
	}
}

// lookPath returns a program of Redis.
func lookPath(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		testkit.StartFailed(t, fmt.Errorf("%s is %w; %s", program, harness.ErrNotInstalled, harness.HowToInstall))
	}
	return path
}

// redisCLI runs redis-cli and fails the test when that fails.
func redisCLI(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), lookPath(t, "redis-cli"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %v: %v\n%s", args, err, out)
	}
	return string(out)
}
