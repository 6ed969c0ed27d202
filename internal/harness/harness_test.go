package harness

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// childEnv makes this test binary one of the children that the tests start.
const childEnv = "HARNESS_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "":
		goleak.VerifyTestMain(m)
	case "server": // as far as the harness knows the product: a banner, /readyz, SIGINT
		runServer()
	case "crash":
		println("about to crash")
		os.Exit(3)
	}
}

func runServer() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	mux.HandleFunc("GET /crash", func(http.ResponseWriter, *http.Request) { os.Exit(4) })
	mux.HandleFunc("GET /env", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.Join(os.Environ(), "\n")))
	})
	listener, err := net.Listen("tcp", os.Getenv("ADDR"))
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
	os.Stdout.WriteString("stand-in\n  API http://" + listener.Addr().String() + "\n")
	go func() { _ = http.Serve(listener, mux) }()
	<-signals
	os.Stderr.WriteString("stopped\n")
	os.Exit(0)
}

func standIn(kind string) Program {
	return Program{Path: os.Args[0], Env: []string{childEnv + "=" + kind}}
}

func TestProductKeepsItsAddress(t *testing.T) {
	t.Setenv("NOT_FOR_THE_PRODUCT", "1")
	p, err := StartProduct(t.Context(), ProductConfig{Program: standIn("server"), Env: []string{"RATE_LIMIT=0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { must(t, p.Close(context.Background())) }()
	_, env, err := Request(t.Context(), http.MethodGet, p.URL+"/env")
	must(t, err)
	lines := strings.Split(string(env), "\n")
	if !slices.Contains(lines, "RATE_LIMIT=0") || strings.Contains(string(env), "NOT_FOR_THE_PRODUCT") {
		t.Errorf("its environment: %q", lines)
	}
	url, pid := p.URL, p.PID()
	must(t, p.Kill())
	must(t, p.Died()) // it was asked for
	must(t, p.Start(t.Context(), "LOG_LEVEL=WARN"))
	if p.URL != url || p.PID() == pid {
		t.Errorf("after a restart it is process %d at %s, before %d at %s", p.PID(), p.URL, pid, url)
	}
	must(t, p.Pause())
	must(t, p.Resume())
	must(t, p.AwaitReady(t.Context()))
	if err := p.Start(t.Context()); err == nil {
		t.Error("a second process was started")
	}
	if !strings.Contains(p.Process().Stdout(), "API http://") {
		t.Errorf("it printed %q", p.Process().Stdout())
	}
	if s, err := p.Stats(t.Context()); err != nil || s.RSS < 1<<20 || s.Descriptors < 3 || s.Goroutines != -1 {
		t.Errorf("it holds %v: %v", s, err)
	}
}

func TestProductThatDies(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "product.log")
	p, err := StartProduct(t.Context(), ProductConfig{Program: standIn("server"), Name: "target", LogFile: log})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Request(t.Context(), http.MethodGet, p.URL+"/crash"); err == nil {
		t.Error("it answered")
	}
	<-p.Process().Ended()
	died := p.Died()
	if died == nil || !strings.Contains(died.Error(), "target ended by itself (exit status 4)") || !strings.Contains(died.Error(), "API http://") {
		t.Errorf("it says: %v", died)
	}
	if err := p.Died(); err != nil {
		t.Errorf("it is reported twice: %v", err)
	}
	must(t, p.Close(t.Context()))
}

func TestProductThatDoesNotStart(t *testing.T) {
	t.Parallel()
	_, err := StartProduct(t.Context(), ProductConfig{Program: standIn("crash")})
	if err == nil || !strings.Contains(err.Error(), "about to crash") || !strings.Contains(err.Error(), "3") {
		t.Errorf("it says: %v", err)
	}
	if _, err := StartProduct(t.Context(), ProductConfig{Program: Program{Path: "/nowhere/analytics"}}); err == nil {
		t.Error("a program that isn't there was started")
	}
	taken, err := StartProduct(t.Context(), ProductConfig{Program: standIn("server")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { must(t, taken.Close(context.Background())) }()
	second, err := StartProduct(t.Context(), ProductConfig{Program: standIn("server"), Address: strings.TrimPrefix(taken.URL, "http://")})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("on a taken port: %v", err)
		must(t, second.Close(t.Context()))
	}
}

func TestProcessStop(t *testing.T) {
	t.Parallel()
	start := func(script string) *Process {
		t.Helper()
		p, err := StartProcess(ProcessConfig{Name: "script", Program: "/bin/sh", Args: []string{"-c", script}})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the script to be ready", func() bool { return strings.Contains(p.Stdout(), "ready") })
		return p
	}
	const wait = "echo ready; while :; do sleep 0.01; done"
	ok := start("trap 'exit 0' TERM; " + wait)
	must(t, ok.Signal(syscall.SIGSTOP)) // it is resumed
	must(t, ok.Stop(t.Context(), syscall.SIGTERM, time.Minute))
	must(t, ok.Stop(t.Context(), syscall.SIGTERM, time.Minute))
	failing := start("trap 'echo sorry >&2; exit 7' TERM; " + wait)
	if err := failing.Stop(t.Context(), syscall.SIGTERM, time.Minute); err == nil || !strings.Contains(err.Error(), "exited with 7") || !strings.Contains(err.Error(), "sorry") {
		t.Errorf("it says: %v", err)
	}
	stubborn := start("trap : TERM; " + wait)
	if err := stubborn.Stop(t.Context(), syscall.SIGTERM, 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "didn't end within 50ms") {
		t.Errorf("it says: %v", err)
	}
	if stubborn.Running() || stubborn.ExitCode() != -1 {
		t.Error("it wasn't killed")
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	text := "# TYPE go_goroutines gauge\ngo_goroutines 17\n# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"2\",y=\"2\"} 4e+03\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }))
	defer server.Close()
	target := Target{Name: "this", URL: server.URL, PID: os.Getpid()}
	s, err := target.Stats(t.Context())
	if err != nil || s.Goroutines != 17 || s.RSS < 1<<20 || s.PeakRSS < s.RSS/2 || s.Descriptors < 3 {
		t.Errorf("%v, %v", s, err)
	}
	watch := WatchPeak(t.Context(), target)
	if most := watch.Stop(); most.RSS < 1<<20 || most.Goroutines != 17 && most.Goroutines != 0 && most.Goroutines != -1 {
		t.Errorf("the most is %v", most)
	}
	metrics, err := target.Metrics(t.Context())
	if err != nil || metrics.Sum("a") != 4003 || metrics.Sum("a", "x", "1") != 3 || metrics.Sum("a", "y", "2", "x", "3") != 0 || metrics.Sum("b") != 0 {
		t.Errorf("%v, %v", metrics, err)
	}
	if n, err := metrics.Value("a", "x", "1"); err != nil || n != 3 {
		t.Errorf("%v, %v", n, err)
	}
	if _, err := metrics.Value("b"); err == nil {
		t.Error("a metric that isn't there has a value")
	}
	series := map[string]float64{}
	metrics.Each("a", func(name string, value float64) { series[name] = value })
	if len(series) != 2 || series[`a{x="2",y="2"}`] != 4000 {
		t.Errorf("%v", series)
	}
	if _, err := ParseMetrics([]byte("a{ 3\n")); err == nil {
		t.Error("nonsense has metrics")
	}
	server.Close()
	if s, err := target.Stats(t.Context()); err != nil || s.Goroutines != -1 {
		t.Errorf("of one that doesn't answer: %v, %v", s, err)
	}
	target.PID = 1 << 22 // above the highest there is
	if _, err := target.Stats(t.Context()); err == nil {
		t.Error("a process that is gone has stats")
	}
}

func TestCPUTimes(t *testing.T) {
	t.Parallel()
	before, err := TreeCPU(os.Getpid())
	must(t, err)
	eventually(t, "our CPU time to grow", func() bool {
		now, err := TreeCPU(os.Getpid())
		must(t, err)
		return now > before
	})
	for name, read := range map[string]func() (time.Duration, error){"OwnCPU": OwnCPU, "MachineCPU": MachineCPU} {
		if d, err := read(); err != nil || d <= 0 {
			t.Errorf("%s: %s, %v", name, d, err)
		}
	}
	if _, err := TreeCPU(1 << 22); err == nil {
		t.Error("a process that is gone has a CPU time")
	}
}

func TestPoll(t *testing.T) {
	t.Parallel()
	calls := 0
	must(t, Poll(t.Context(), time.Minute, func(context.Context) error {
		if calls++; calls < 3 {
			return errors.New("not yet")
		}
		return nil
	}))
	if calls != 3 {
		t.Errorf("%d calls", calls)
	}
	cause := errors.New("never")
	if err := Poll(t.Context(), time.Nanosecond, func(context.Context) error { return cause }); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	calls = 0
	if err := Poll(t.Context(), time.Minute, func(context.Context) error { calls++; return Permanent(cause) }); !errors.Is(err, cause) || calls != 1 {
		t.Errorf("after %d calls: %v", calls, err)
	}
}

func TestFreePorts(t *testing.T) {
	t.Parallel()
	port, err := FreePort("127.0.0.1", "127.0.0.2")
	if err != nil || port < 1024 || port > 65535 {
		t.Errorf("port %d, %v", port, err)
	}
	if address, err := FreeAddress("127.0.0.3"); err != nil || !strings.HasPrefix(address, "127.0.0.3:") {
		t.Errorf("%s, %v", address, err)
	}
	if _, err := FreePort("192.0.2.1"); err == nil { // a documentation address, which no machine has
		t.Error("a port is free on a foreign address")
	}
}

func TestBuildIsSharedAndLocked(t *testing.T) {
	t.Parallel()
	root, err := Root()
	must(t, err)
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Error(err)
	}
	// A module of its own: the product takes long to build.
	module := t.TempDir()
	must(t, os.WriteFile(filepath.Join(module, "go.mod"), []byte("module tiny\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(module, "main.go"), []byte("package main\n\nfunc main() { println(\"tiny\") }\n"), 0o600))
	results := make(chan error, 4)
	for range cap(results) {
		go func() {
			_, err := BuildGo(context.Background(), module, "tiny", module, ".", []string{"CGO_ENABLED=0"})
			results <- err
		}()
	}
	for range cap(results) {
		must(t, <-results)
	}
	if _, err := BuildGo(t.Context(), module, "broken", module, "./nowhere", nil); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("it says: %v", err)
	}
}

func TestRevision(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if commit, dirty := Revision(t.Context(), root); commit != "" || dirty {
		t.Errorf("outside a repository: %q, %t", commit, dirty)
	}
	git := func(args ...string) {
		t.Helper()
		git := exec.CommandContext(t.Context(), "git", append([]string{"-C", root, "-c", "user.name=n", "-c", "user.email=e@example.org"}, args...)...)
		if out, err := git.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	write := func(name string) { must(t, os.WriteFile(filepath.Join(root, name), []byte(name), 0o600)) }
	git("init", "-q")
	write("file")
	git("add", "file")
	git("commit", "-q", "-m", "one")
	if commit, dirty := Revision(t.Context(), root); len(commit) != 40 || dirty {
		t.Errorf("a clean tree: %q, %t", commit, dirty)
	}
	write("result")
	if _, dirty := Revision(t.Context(), root); !dirty {
		t.Error("a new file isn't noticed")
	}
	if _, dirty := Revision(t.Context(), root, "result"); dirty {
		t.Error("an ignored file is noticed")
	}
}

func TestResetPeak(t *testing.T) {
	t.Parallel()
	child, err := StartProcess(ProcessConfig{Name: "sleep", Program: "sleep", Args: []string{"600"}})
	must(t, err)
	defer func() { must(t, child.Kill()) }()
	must(t, ResetPeak(child.PID()))
	if rss, peak, err := Memory(child.PID()); err != nil || peak < rss {
		t.Errorf("%d, at its peak %d: %v", rss, peak, err)
	}
	if err := ResetPeak(1 << 22); err == nil {
		t.Error("a process that is gone has a peak")
	}
}
