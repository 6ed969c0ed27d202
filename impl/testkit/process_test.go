package testkit

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

func TestProcessTableKnowsUsAndOurChildren(t *testing.T) {
	t.Parallel()
	tables := map[string]func() ([]process, error){"the system's own": processTable}
	if _, err := exec.LookPath("ps"); err == nil {
		tables["ps"] = psTable // what other systems than Linux have
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = child.Process.Kill(), child.Wait() }()
	for name, table := range tables {
		all, err := table()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		i := slices.IndexFunc(all, func(p process) bool { return p.pid == child.Process.Pid })
		if i < 0 || all[i].parent != os.Getpid() {
			t.Errorf("%s doesn't show our child", name)
		}
	}
	pids, err := family(os.Getpid())
	if err != nil || pids[0] != os.Getpid() || !slices.Contains(pids[1:], child.Process.Pid) {
		t.Errorf("family: %v, %v", pids, err)
	}
}

func TestStatWithAnyName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]process{
		"12 (postgres) S 11 12 12 0":       {pid: 12, parent: 11, state: 'S'},
		"13 (a) T 9 (b) c) Z 12 0 0":       {pid: 13, parent: 12, state: stateZombie},
		"14 (postgres: writer ) T 1 14 14": {pid: 14, parent: 1, state: stateStopped},
	} {
		if got, err := parseStat([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "12 (postgres)", "x (postgres) S 1", "12 (postgres) S x"} {
		if got, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// A server that ended at once is a zombie under its supervisor: it must not pass
// for one that is still starting.
func TestAZombieIsNotRunning(t *testing.T) {
	t.Parallel()
	child := exec.Command("true")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pid := child.Process.Pid
	Eventually(t, time.Minute, "the end of a process", func() bool { return !running(pid) })
	// On Linux it still takes signals: nobody has waited for it.
	if err := syscall.Kill(pid, 0); runtime.GOOS == "linux" && err != nil {
		t.Errorf("the process is gone, so the test proves nothing: %v", err)
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	if running(pid) {
		t.Error("a process that is gone is running")
	}
	if !running(os.Getpid()) {
		t.Error("we aren't running")
	}
}
