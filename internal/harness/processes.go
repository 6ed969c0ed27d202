package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/prometheus/procfs"
)

// process is an entry of the system's process table.
type process struct {
	pid, parent int
	state       byte
}

// The states that matter here, as ps and Linux's /proc write them.
const (
	stateZombie  = 'Z' // over, but its parent hasn't asked how it went
	stateDead    = 'X'
	stateStopped = 'T'
)

// processTable reads the process table: from /proc on Linux, where slim images have
// no ps, and from ps elsewhere.
func processTable() ([]process, error) {
	if runtime.GOOS == "linux" {
		return procTable()
	}
	return psTable()
}

// procTable reads Linux's /proc.
func procTable() ([]process, error) {
	entries, err := procfs.AllProcs()
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	all := make([]process, 0, len(entries))
	for _, entry := range entries {
		p, err := procEntry(entry)
		if hasEnded(err) {
			continue // it ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func procEntry(entry procfs.Proc) (process, error) {
	stat, err := entry.Stat()
	if err != nil {
		return process{}, fmt.Errorf("reading the process table: %w", err)
	}
	return process{pid: stat.PID, parent: stat.PPID, state: stat.State[0]}, nil
}

func psTable() ([]process, error) {
	out, err := exec.CommandContext(context.Background(), "ps", "-A", "-o", "pid=", "-o", "ppid=", "-o", "stat=").Output()
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var all []process
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("not a line of the process table: %q", line)
		}
		p, err := newProcess(fields[0], fields[1], fields[2])
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func newProcess(pid, parent, state string) (process, error) {
	p := process{state: state[0]}
	var pidErr, parentErr error
	p.pid, pidErr = strconv.Atoi(pid)
	p.parent, parentErr = strconv.Atoi(parent)
	if err := errors.Join(pidErr, parentErr); err != nil {
		return process{}, fmt.Errorf("reading the process table: %w", err)
	}
	return p, nil
}

// family returns a process and its children.
func family(pid int) ([]int, error) {
	all, err := processTable()
	if err != nil {
		return nil, err
	}
	pids := []int{pid}
	for _, p := range all {
		if p.parent == pid {
			pids = append(pids, p.pid)
		}
	}
	return pids, nil
}

// running reports whether a process runs or is stopped. One that ended under a
// parent which hasn't asked for its exit code, as a supervisor's shell or the
// first process of a container, still takes signals: kill(pid, 0) can't tell.
func running(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	p, err := processEntry(pid)
	if hasEnded(err) {
		return false
	}
	if err != nil {
		return true // the signal says so
	}
	return p.state != stateZombie && p.state != stateDead
}

// processEntry reads one entry of the process table.
func processEntry(pid int) (process, error) {
	if runtime.GOOS == "linux" {
		entry, err := procfs.NewProc(pid)
		if err != nil {
			return process{}, fmt.Errorf("reading the process table: %w", err)
		}
		return procEntry(entry)
	}
	all, err := psTable()
	if err != nil {
		return process{}, err
	}
	for _, p := range all {
		if p.pid == pid {
			return p, nil
		}
	}
	return process{}, os.ErrNotExist
}

// allIn reports whether every process of pids that still exists is in a state.
func allIn(pids []int, state byte) bool {
	all, err := processTable()
	if err != nil {
		return false
	}
	states := map[int]byte{}
	for _, p := range all {
		states[p.pid] = p.state
	}
	for _, pid := range pids {
		if s, there := states[pid]; there && s != state && s != stateZombie && s != stateDead {
			return false
		}
	}
	return true
}

// send sends a signal to processes, some of which may have ended.
func send(signal syscall.Signal, pids ...int) error {
	var errs []error
	for _, pid := range pids {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("signalling %d: %w", pid, err))
		}
	}
	return errors.Join(errs...)
}

// pauseFamily stops a process and its children, and returns them. The parent goes
// first, and only when it has stopped are its children counted: it makes no more.
func pauseFamily(pid int) ([]int, error) {
	stopped := func(pids ...int) error {
		if err := send(syscall.SIGSTOP, pids...); err != nil {
			return err
		}
		if !PollUntil(readyTimeout, func() bool { return allIn(pids, stateStopped) }) {
			return fmt.Errorf("processes %v don't stop", pids)
		}
		return nil
	}
	if err := stopped(pid); err != nil {
		return nil, err
	}
	pids, err := family(pid)
	if err != nil {
		return nil, err
	}
	return pids, stopped(pids[1:]...)
}
