package testkit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
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
		return procTable("[0-9]*")
	}
	return psTable()
}

// procTable reads the entries whose pid matches a pattern.
func procTable(pid string) ([]process, error) {
	files, err := filepath.Glob("/proc/" + pid + "/stat")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var all []process
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it ended meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("reading the process table: %w", err)
		}
		p, err := parseStat(text)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// parseStat reads "PID (NAME) STATE PARENT ..."; the name may hold anything, also
// spaces and brackets.
func parseStat(text []byte) (process, error) {
	pid, _, _ := bytes.Cut(text, []byte(" "))
	after := text[bytes.LastIndexByte(text, ')')+1:]
	fields := strings.Fields(string(after))
	if len(fields) < 2 {
		return process{}, fmt.Errorf("not a line of the process table: %q", text)
	}
	return newProcess(string(pid), fields[1], fields[0])
}

func psTable() ([]process, error) {
	out, err := exec.Command("ps", "-A", "-o", "pid=", "-o", "ppid=", "-o", "stat=").Output()
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
	table := psTable
	if runtime.GOOS == "linux" {
		table = func() ([]process, error) { return procTable(strconv.Itoa(pid)) }
	}
	all, err := table()
	if err != nil {
		return true // the signal says so
	}
	for _, p := range all {
		if p.pid == pid {
			return p.state != stateZombie && p.state != stateDead
		}
	}
	return false
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

// freeze stops a process and its children, and returns them. The parent goes
// first, and only when it stands are its children counted: it makes no more.
func freeze(pid int) ([]int, error) {
	stopped := func(pids ...int) error {
		if err := send(syscall.SIGSTOP, pids...); err != nil {
			return err
		}
		if !poll(readyTimeout, func() bool { return allIn(pids, stateStopped) }) {
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
