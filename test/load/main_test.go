package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
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

	"highload.example/analytics/test/load/generator"
	"highload.example/analytics/test/load/internal/checkout"
	"highload.example/analytics/test/load/internal/process"
)

// asProgram makes the test binary be the program, because the bare server is
// another process of the same program.
const asProgram = "LOAD_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args  string
		says  string // "": accepted
		check func(*options) bool
	}{
		{"", "", func(o *options) bool {
			return o.connections == 512 && o.duration == 8*time.Second && o.rounds == 3 && len(o.fractions) == 7 &&
				slices.Equal(o.parts, allParts) && o.json == "docs/benchmarks/latest.json"
		}},
		{"-quick", "", func(o *options) bool { return o.rounds == 1 && o.json == "load/results/quick.json" }},
		{"-quick -rounds=2 -json=x.json", "", func(o *options) bool { return o.rounds == 2 && o.json == "x.json" }},
		{"-only=rates,batches", "", func(o *options) bool { return o.has(partRates) && !o.has(partOverload) }},
		{"-fractions=0.5,0.1", "", func(o *options) bool { return slices.Equal(o.fractions, []float64{0.1, 0.5}) }},
		{"-compare=before=/some/where/old -compare=other=new -binary=/some/where/it", "", func(o *options) bool {
			return len(o.compare) == 2 && o.compare[0] == build{"before", "/some/where/old"} &&
				o.command == "go run . -binary=it -compare=before=old -compare=other=new"
		}},
		{"-only=everything", "is no part", nil},
		{"-fractions=a", "-fractions", nil},
		{"-fractions=-1", "-fractions", nil},
		{"-rounds=0", "-rounds must be", nil},
		{"-duration=1ms", "-duration must be", nil},
		{"-batch=5001", "at most 5000", nil},
		{"-compare=old", "label=file", nil},
		{"-compare=bare=old", "is taken", nil},
		{"-compare=a=1 -compare=a=2", "is taken", nil},
		{"run", "is no flag", nil},
		{"-nonsense", "-nonsense", nil},
	} {
		var output bytes.Buffer
		o, err := parseOptions(strings.Fields(c.args), &output)
		switch {
		case c.says == "" && (err != nil || !c.check(o)):
			t.Errorf("%q: %+v, %v", c.args, o, err)
		case c.says != "" && (err == nil || !strings.Contains(output.String(), c.says)):
			t.Errorf("%q: %v doesn't say %q: %s", c.args, err, c.says, &output)
		}
	}
}

func TestTheLoopOfInsertsHasAsManyConnectionsAsTheServerHasWriters(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "impl", "app", "deployment.go"))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("const pgWriters = %d\n", serverWriters); !strings.Contains(string(text), want) {
		t.Errorf("impl/app/deployment.go has no line %q: let serverWriters follow it", want)
	}
}

func TestHelpExplainsEveryFlag(t *testing.T) {
	t.Parallel()
	var output bytes.Buffer
	if _, err := parseOptions([]string{"-help"}, &output); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	for _, name := range []string{"quick", "only", "rounds", "compare", "connections", "fractions", "overload-connections", "spread", "svg"} {
		if !strings.Contains(output.String(), "  -"+name) {
			t.Errorf("no -%s in\n%s", name, &output)
		}
	}
	if code := command(t.Context(), []string{"-rounds=none"}, io.Discard, io.Discard); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
}

func TestTheProcessTableIsRead(t *testing.T) {
	t.Parallel()
	got, err := parseStat([]byte("42 (a (very) odd) name) S 7 42 42 0 -1 4194560 100 200 0 0 150 50 30 20 20 0 3 0 1000 1 1 1\n"))
	want := stat{parent: 7, cpu: 2 * time.Second, children: 500 * time.Millisecond}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"", "42", "42 (sh) S", "42 (sh) S a b c d e f g h i j k l m n o p"} {
		if got, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	all, err := parseMachine([]byte("cpu  100 10 200 5000 77 1 9 30 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"))
	if err != nil || all != 3500*time.Millisecond {
		t.Errorf("%s, %v", all, err)
	}
	for _, text := range []string{"", "cpu 1 2 3", "cpu a b c d e f g h"} {
		if got, err := parseMachine([]byte(text)); err == nil {
			t.Errorf("%q: %s", text, got)
		}
	}
	if _, err := treeCPU(os.Getpid()); err != nil {
		t.Error(err)
	}
	for _, field := range []string{"VmRSS", "VmHWM"} {
		if n, err := process.Memory(os.Getpid(), field); err != nil || n < 1<<20 {
			t.Errorf("%s: %d, %v", field, n, err)
		}
	}
	if _, err := process.Memory(os.Getpid(), "VmNonsense"); err == nil {
		t.Error("a field that isn't there has a value")
	}
}

// TestTheBareServer also sees that a process is measured and ended.
func TestTheBareServer(t *testing.T) {
	t.Parallel()
	address, err := freeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start("server", t.TempDir(), []string{asProgram + "=1"}, os.Args[0], bareCommand, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop() })
	in := &instance{subject: subject{mode: modeBare}, address: address, process: p, ledger: &generator.Ledger{}}
	if in.source, err = generator.NewSource(generator.Config{Users: 10, Spread: time.Hour, Base: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := in.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	result, cost, err := in.run(t.Context(), &generator.Load{Connections: 4, Duration: 300 * time.Millisecond})
	if err != nil || result.Stored == 0 || len(result.Statuses) != 1 || cost.server <= 0 || cost.generator <= 0 {
		t.Errorf("%d stored, %v, %+v, %v", result.Stored, result.Statuses, cost, err)
	}
	if findings, err := in.audit(t.Context()); findings != nil || err != nil {
		t.Errorf("it stores nothing, and is audited: %v, %v", findings, err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if !errors.Is(syscall.Kill(p.PID(), 0), syscall.ESRCH) {
		t.Errorf("process %d is left", p.PID())
	}
	if err := p.HasEnded(); err == nil {
		t.Error("it ended, and nobody noticed")
	}
}

func TestAServerThatDoesntStartIsExplained(t *testing.T) {
	t.Parallel()
	p, err := process.Start("a shell", t.TempDir(), nil, "/bin/sh", "-c", "echo the reason >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	in := &instance{address: "127.0.0.1:1", process: p}
	err = in.awaitReady(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("%v", err)
	}
	if _, err := process.Start("server", t.TempDir(), nil, filepath.Join(t.TempDir(), "nothing")); err == nil {
		t.Error("a program that isn't there starts")
	}
}

func TestEmptyBatchesTellWhetherThereAreBatches(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /events", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusUnprocessableEntity) })
	for handler, want := range map[http.Handler]int{mux: http.StatusUnprocessableEntity, http.NewServeMux(): http.StatusNotFound} {
		server := httptest.NewServer(handler)
		if status, err := probeBatches(t.Context(), strings.TrimPrefix(server.URL, "http://")); status != want || err != nil {
			t.Errorf("%d, %v, not %d", status, err, want)
		}
		server.Close()
	}
}

func TestTheRootIsFound(t *testing.T) {
	t.Parallel()
	root, err := checkout.Root()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "load", "main_test.go")); err != nil {
		t.Error(err)
	}
}

// TestAnInterruptLeavesNothing ends the program as soon as it has begun.
func TestAnInterruptLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stderr bytes.Buffer
	if code := command(ctx, []string{"-quick"}, io.Discard, &stderr); code != exitInterrupted {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
}
