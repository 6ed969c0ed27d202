package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of the times in /proc/PID/stat: USER_HZ, which is 100 on
// every platform that Linux has today.
const clockTick = time.Second / 100

// stat is what /proc/PID/stat says of a process.
type stat struct {
	parent   int
	cpu      time.Duration // user and system time of its own
	children time.Duration // the same of children that have ended
}

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
	}
	return parseStat(text)
}

// parseStat reads the fields as proc(5) numbers them; the second, the name in
// parentheses, may itself hold anything.
func parseStat(text []byte) (stat, error) {
	end := bytes.LastIndexByte(text, ')')
	fields := strings.Fields(string(text[end+1:]))
	if end < 0 || len(fields) < 15 {
		return stat{}, fmt.Errorf("not a line of /proc/PID/stat: %.80q", text)
	}
	var n [5]int64
	for i, at := range []int{1, 11, 12, 13, 14} { // ppid utime stime cutime cstime
		var err error
		if n[i], err = strconv.ParseInt(fields[at], 10, 64); err != nil {
			return stat{}, fmt.Errorf("not a line of /proc/PID/stat: %w", err)
		}
	}
	return stat{parent: int(n[0]), cpu: time.Duration(n[1]+n[2]) * clockTick, children: time.Duration(n[3]+n[4]) * clockTick}, nil
}

// treeCPU returns the CPU time of a process and its children, the ended ones
// included: a server that has a process for each connection.
func treeCPU(pid int) (time.Duration, error) {
	root, err := readStat(pid)
	if err != nil {
		return 0, err
	}
	total := root.cpu + root.children
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, fmt.Errorf("listing processes: %w", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it ended meanwhile
		}
		if err != nil {
			return 0, fmt.Errorf("reading the CPU time of processes: %w", err)
		}
		s, err := parseStat(text)
		if err != nil {
			return 0, err
		}
		if s.parent == pid {
			total += s.cpu
		}
	}
	return total, nil
}

// ownCPU returns the CPU time of this program.
func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("reading our own CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// machineCPU returns the CPU time that everybody has taken together, and that other
// virtual machines have taken from this one.
func machineCPU() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("reading the machine's CPU time: %w", err)
	}
	return parseMachine(text)
}

// parseMachine reads the first line as proc(5) says: user nice system idle iowait irq
// softirq steal.
func parseMachine(text []byte) (time.Duration, error) {
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("not the beginning of /proc/stat: %.80q", line)
	}
	var total int64
	for _, at := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("not the beginning of /proc/stat: %w", err)
		}
		total += n
	}
	return time.Duration(total) * clockTick, nil
}

// meter measures what the parties spent between two moments.
type meter struct {
	server, postgres, redis int // pids; 0: there is none
	first                   spending
	last                    spending
}

// spending is the CPU time of each party, and of the whole machine.
type spending struct{ server, postgres, redis, generator, machine time.Duration }

// others is the CPU time of whoever had no part in the measurement.
func (s *spending) others() time.Duration {
	return max(0, s.machine-s.server-s.postgres-s.redis-s.generator)
}

func (m *meter) read() (spending, error) {
	var s spending
	var errs [5]error
	if m.server != 0 {
		s.server, errs[0] = treeCPU(m.server)
	}
	if m.postgres != 0 {
		s.postgres, errs[1] = treeCPU(m.postgres)
	}
	if m.redis != 0 {
		s.redis, errs[2] = treeCPU(m.redis)
	}
	s.generator, errs[3] = ownCPU()
	s.machine, errs[4] = machineCPU()
	return s, errors.Join(errs[:]...)
}

// begin and end are the hooks of a load.
func (m *meter) begin() (err error) { m.first, err = m.read(); return err }
func (m *meter) end() (err error)   { m.last, err = m.read(); return err }

// spent returns the difference.
func (m *meter) spent() spending {
	return spending{
		server: m.last.server - m.first.server, postgres: m.last.postgres - m.first.postgres,
		redis: m.last.redis - m.first.redis, generator: m.last.generator - m.first.generator,
		machine: m.last.machine - m.first.machine,
	}
}
