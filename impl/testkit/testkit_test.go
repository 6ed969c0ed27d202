package testkit

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"highload.example/analytics/internal/harness"
)

func TestMain(m *testing.M) { Main(m) }

// outcome is a testing.TB that notes how a test would have ended.
type outcome struct {
	testing.TB
	skipped, failed string
}

func (o *outcome) Helper() {}

func (o *outcome) Skipf(format string, args ...any) {
	o.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (o *outcome) Fatalf(format string, args ...any) {
	o.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// observe runs what would end a test.
func observe(t *testing.T, f func(testing.TB)) *outcome {
	t.Helper()
	o := &outcome{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(o)
	}()
	<-done
	return o
}

func TestOnlyAMissingProgramSkipsAndNotWhenTestsAreRequired(t *testing.T) {
	absent := fmt.Errorf("Redis is %w; %s", harness.ErrNotInstalled, harness.HowToInstall)
	broken := errors.New("it printed an error and ended")
	for _, c := range []struct {
		name, required string
		err            error
		skips          bool
	}{
		{"absent", "", absent, true},
		{"absent, required", "1", absent, false},
		{"broken", "", broken, false},
		{"broken, required", "1", broken, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(EnvRequired, c.required)
			o := observe(t, func(tb testing.TB) { StartFailed(tb, c.err) })
			if (o.skipped != "") != c.skips || (o.failed != "") == c.skips {
				t.Fatalf("skipped %q, failed %q", o.skipped, o.failed)
			}
			if !strings.Contains(o.skipped+o.failed, c.err.Error()) {
				t.Errorf("it doesn't say why: %q", o.skipped+o.failed)
			}
			for _, loud := range []string{"SKIPPED", "apt-get install", "brew install", "make test"} {
				if c.skips && !strings.Contains(o.skipped, loud) {
					t.Errorf("the message %q doesn't say %q", o.skipped, loud)
				}
			}
		})
	}
}

func TestEventually(t *testing.T) {
	t.Parallel()
	asked := 0
	Eventually(t, time.Minute, "the third question", func() bool { asked++; return asked == 3 })
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}
	o := observe(t, func(tb testing.TB) {
		Eventually(tb, time.Nanosecond, "a thing that never comes", func() bool { return false })
	})
	if !strings.Contains(o.failed, "a thing that never comes") {
		t.Errorf("the failure %q doesn't name what was waited for", o.failed)
	}
}

func TestClockGoesOnlyWhenTold(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 29, 0, 59, 0, 0, time.UTC)
	clock := NewClock(start)
	if !clock.Now().Equal(start) {
		t.Errorf("it shows %s", clock.Now())
	}
	clock.Advance(90 * time.Second)
	if want := start.Add(90 * time.Second); !clock.Now().Equal(want) {
		t.Errorf("it shows %s, not %s", clock.Now(), want)
	}
}

func TestFreePortsCanBeListenedOn(t *testing.T) {
	t.Parallel()
	if port := FreePort(t); port < 1024 || port > 65535 {
		t.Errorf("port %d", port)
	}
}
