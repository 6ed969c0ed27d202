package harness

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
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

// A server that ended at once is a zombie under its supervisor: it must not pass
// for one that is still starting.
func TestAZombieIsNotRunning(t *testing.T) {
	t.Parallel()
	child := exec.Command("true")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pid := child.Process.Pid
	eventually(t, "the end of a process", func() bool { return !running(pid) })
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
