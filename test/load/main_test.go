package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/load/generator"
	"highload.example/analytics/test/load/internal/command"
	"highload.example/analytics/test/load/report"
)

// The baseline server is another process of the same program: here, of the test binary.
func TestMain(m *testing.M) {
	if os.Getenv(serveBaselineEnv) != "" {
		os.Exit(baselineMain())
	}
	goleak.VerifyTestMain(m)
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args  string
		says  string // "": accepted
		check func(o *options, line string) bool
	}{
		{"", "", func(o *options, _ string) bool {
			return o.Connections == 512 && o.Duration == 8*time.Second && o.Rounds == 3 && len(o.Fractions) == 7 &&
				slices.Equal(o.Only, []string{report.PartSaturation, report.PartRates, report.PartBatches}) &&
				o.JSON == "test/results/load.json" && o.Markdown == "docs/benchmarks.md"
		}},
		{"--quick", "", func(o *options, _ string) bool {
			return o.Rounds == 1 && !slices.ContainsFunc([]string{o.JSON, o.Markdown, o.SVG}, func(file string) bool { return strings.Contains(file, "docs") })
		}},
		{"--quick --rounds=2 --json=x.json", "", func(o *options, _ string) bool { return o.Rounds == 2 && o.JSON == "x.json" && o.results() == "x.json" }},
		{"--json=/some/where/x.json", "", func(o *options, line string) bool {
			return o.results() == "x.json" && !strings.Contains(line, "where")
		}},
		{"--only=rates,batches", "", func(o *options, _ string) bool { return o.has(report.PartRates) && !o.has(report.PartSaturation) }},
		{"--fractions=0.5,0.1", "", func(o *options, _ string) bool { return slices.Equal(o.Fractions, []float64{0.1, 0.5}) }},
		{"--compare=before=/some/where/old --compare=other=new --binary=" + os.Args[0], "", func(o *options, line string) bool {
			return len(o.Compare) == 2 && o.Compare[0] == build{"before", "/some/where/old"} && filepath.IsAbs(o.Compare[1].binary) &&
				line == "cd test && go run ./load --compare=before=old --compare=other=new --binary="+filepath.Base(os.Args[0])
		}},
		{"--only=everything", "--only", nil},
		{"--fractions=a", "--fractions", nil},
		{"--fractions=-1", "--fractions", nil},
		{"--rounds=0", "--rounds must be", nil},
		{"--duration=1ms", "--duration must be", nil},
		{"--batch=5001", "at most 5000", nil},
		{"--compare=old", "LABEL=FILE", nil},
		{"--compare=baseline=old", "is taken", nil},
		{"--compare=a=1 --compare=a=2", "is taken", nil},
		{"--binary=/some/where/it", "--binary", nil},
		{"run", "run", nil},
		{"--nonsense", "--nonsense", nil},
	} {
		var o options
		line, err := program(&o).Parse(strings.Fields(c.args), io.Discard)
		switch {
		case c.says == "" && (err != nil || !c.check(&o, line)):
			t.Errorf("%q: %+v, %q, %v", c.args, o, line, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%q: %v doesn't say %q", c.args, err, c.says)
		}
	}
}

func TestTheLoopOfInsertsHasAsManyConnectionsAsTheServerHasWriters(t *testing.T) {
	t.Parallel()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "impl", "app", "deployment.go"))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("const pgWriters = %d\n", serverWriters); !strings.Contains(string(text), want) {
		t.Errorf("impl/app/deployment.go has no line %q: let serverWriters follow it", want)
	}
	var o options
	if _, err := program(&o).Parse(nil, io.Discard); err != nil || o.Writers != serverWriters {
		t.Errorf("--writers is %d, not %d: %v", o.Writers, serverWriters, err)
	}
}

func TestHelpExplainsEveryFlag(t *testing.T) {
	t.Parallel()
	var output bytes.Buffer
	if _, err := program(&options{}).Parse([]string{"--help"}, &output); !errors.Is(err, command.ErrHelp) {
		t.Fatal(err)
	}
	for _, name := range []string{"quick", "only", "rounds", "compare", "connections", "fractions", "writers", "spread", "svg"} {
		if !strings.Contains(output.String(), "  --"+name) {
			t.Errorf("no --%s in\n%s", name, &output)
		}
	}
}

// startBaseline starts a turn of the baseline server, which needs no databases.
func startBaseline(t *testing.T, path string, env ...string) (*instance, error) {
	t.Helper()
	s := &servers{options: &options{Users: 10, Spread: time.Hour}, dir: t.TempDir()}
	i, err := s.start(t.Context(), subject{mode: report.Baseline, program: harness.Program{Path: path, Env: env}})
	if i == nil {
		t.Fatal(err)
	}
	return i, err
}

// TestBaseline also checks that a process is measured and ended.
func TestBaseline(t *testing.T) {
	t.Parallel()
	i, err := startBaseline(t, os.Args[0], serveBaselineEnv+"=1")
	t.Cleanup(func() {
		if err := i.leave(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	// The system counts CPU time in hundredths of a second: until there is one.
	if !harness.PollUntil(time.Minute, func() bool {
		result, cpu, err := i.send(t.Context(), &generator.Load{Connections: 4, Duration: 300 * time.Millisecond})
		if err != nil || len(result.Statuses) != 1 || result.Statuses["202"] == 0 {
			t.Errorf("%d stored, %v, %v", result.Stored, result.Statuses, err)
		}
		return t.Failed() || result.Stored > 0 && cpu.server > 0 && cpu.generator > 0 && cpu.machine > 0 && cpu.postgres == 0
	}) {
		t.Error("nothing was stored, or no CPU time was spent")
	}
	if findings, err := i.audit(t.Context()); findings != nil || err != nil {
		t.Errorf("it stores nothing, and is audited: %v, %v", findings, err)
	}
	pid := i.product.PID()
	if err := i.leave(t.Context()); err != nil {
		t.Error(err)
	}
	if !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		t.Errorf("process %d is left", pid)
	}
	if _, err := os.Stat(i.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", i.dir, err)
	}
}

func TestServerThatEndsIsReported(t *testing.T) {
	t.Parallel()
	i, err := startBaseline(t, os.Args[0], serveBaselineEnv+"=1")
	if err != nil {
		t.Fatal(err)
	}
	// Not by the harness, which would expect it.
	if err := syscall.Kill(i.product.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-i.product.Process().Ended()
	if _, _, err := i.send(t.Context(), &generator.Load{Connections: 1, Duration: 100 * time.Millisecond}); err == nil || !strings.Contains(err.Error(), "ended by itself") {
		t.Errorf("it says: %v", err)
	}
}

func TestServerThatDoesNotStart(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "server")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho the reason >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	i, err := startBaseline(t, program)
	if err == nil || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("it says: %v", err)
	}
	_ = i.leave(t.Context()) // says the same
}

func TestProbeBatches(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /events", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusUnprocessableEntity) })
	for handler, want := range map[http.Handler]int{mux: http.StatusUnprocessableEntity, http.NewServeMux(): http.StatusNotFound} {
		server := httptest.NewServer(handler)
		if status, err := probeBatches(t.Context(), server.URL); status != want || err != nil {
			t.Errorf("%d, %v, not %d", status, err, want)
		}
		server.Close()
	}
}

// TestInterrupt ends the program as soon as it has begun.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stderr bytes.Buffer
	if code := program(&options{}).Execute(ctx, []string{"--quick"}, io.Discard, &stderr); code != command.ExitInterrupted {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
}
