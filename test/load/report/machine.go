package report

import (
	"path/filepath"
	"runtime"
	"strings"

	"github.com/prometheus/procfs"
)

// DescribeMachine says where everything runs whose databases are in dir, but for their
// versions. What can't be found out is left empty: it is no reason to measure nothing.
func DescribeMachine(dir string) Machine {
	m := Machine{CPUs: runtime.NumCPU(), Go: runtime.Version(), FileSystem: fileSystem(dir)}
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return m
	}
	if processors, err := fs.CPUInfo(); err == nil && len(processors) > 0 {
		m.CPU = processors[0].ModelName
	}
	if memory, err := fs.Meminfo(); err == nil && memory.MemTotal != nil {
		m.MemoryMiB = int64(*memory.MemTotal >> 10)
	}
	if release, err := fs.SysctlStrings("kernel/osrelease"); err == nil {
		m.Kernel = strings.Join(release, " ")
	}
	return m
}

// fileSystem names the kind of file system that holds a directory: on tmpfs an
// fsync costs nothing, which readers of the figures should know.
func fileSystem(dir string) string {
	mounts, err := procfs.GetMounts()
	if err != nil {
		return ""
	}
	best, kind := "", ""
	for _, mount := range mounts {
		inside, err := filepath.Rel(mount.MountPoint, dir)
		if err == nil && inside != ".." && !strings.HasPrefix(inside, "../") && len(mount.MountPoint) >= len(best) {
			best, kind = mount.MountPoint, mount.FSType
		}
	}
	if kind == "tmpfs" {
		kind += " (memory: syncing costs nothing there; give --dir a directory on a disk)"
	}
	return kind
}
