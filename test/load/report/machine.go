package report

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// DescribeMachine says where everything runs whose databases are in dir, but for their
// versions. What can't be found out is left empty: it is no reason to measure nothing.
func DescribeMachine(dir string) Machine {
	m := Machine{
		CPU: procField("/proc/cpuinfo", "model name"), CPUs: runtime.NumCPU(), Kernel: firstLineOf("/proc/sys/kernel/osrelease"),
		FileSystem: fileSystem(dir), Go: runtime.Version(),
	}
	kib, err := strconv.ParseInt(strings.TrimSuffix(procField("/proc/meminfo", "MemTotal"), " kB"), 10, 64)
	if err == nil {
		m.MemoryMiB = kib >> 10
	}
	return m
}

// procField returns the first value of a name in a file of lines like "name: value".
func procField(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		key, value, found := strings.Cut(line, ":")
		if found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func firstLineOf(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return first
}

// fileSystem names the kind of file system that holds a directory: on tmpfs an
// fsync costs nothing, and whoever reads the figures should know.
func fileSystem(dir string) string {
	best, kind := "", ""
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		inside, err := filepath.Rel(fields[1], dir)
		if err == nil && inside != ".." && !strings.HasPrefix(inside, "../") && len(fields[1]) >= len(best) {
			best, kind = fields[1], fields[2]
		}
	}
	if kind == "tmpfs" {
		kind += " (memory: syncing costs nothing there; give -dir a directory on a disk)"
	}
	return kind
}
