package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// MountDisk makes a directory the root of a file system of its own, in memory, of a size in
// bytes. It takes root. UnmountDisk ends it.
func MountDisk(dir string, size int64) error {
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // PostgreSQL's account reads it, too
		return fmt.Errorf("making a directory: %w", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0755", size)); err != nil {
		return fmt.Errorf("mounting a small disk: %w (it takes root; without the faults that fill disks there is no need of it)", err)
	}
	return nil
}

// UnmountDisk detaches a directory's file system, and its files are gone.
func UnmountDisk(dir string) error {
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting %s: %w", dir, err)
	}
	return nil
}

// ballast is the file that fills a disk.
const ballast = "ballast"

// FillDisk takes all that is free on a directory's disk. EmptyDisk gives it back.
func FillDisk(disk string) error {
	file, err := os.Create(filepath.Join(disk, ballast))
	if err != nil {
		return fmt.Errorf("filling the disk: %w", err)
	}
	defer func() { _ = file.Close() }() // what it holds is of no matter
	for size := int64(64 << 20); size >= 1; {
		info, err := file.Stat()
		if err != nil {
			return fmt.Errorf("filling the disk: %w", err)
		}
		switch err := unix.Fallocate(int(file.Fd()), 0, info.Size(), size); {
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case err != nil:
			return fmt.Errorf("filling the disk: %w", err)
		}
	}
	var left unix.Statfs_t
	if err := unix.Statfs(disk, &left); err != nil || left.Bavail != 0 {
		return fmt.Errorf("the disk isn't full: %d blocks are left (%w)", left.Bavail, err)
	}
	return nil
}

// EmptyDisk gives back what FillDisk took.
func EmptyDisk(disk string) error {
	if err := os.Remove(filepath.Join(disk, ballast)); err != nil {
		return fmt.Errorf("emptying the disk: %w", err)
	}
	return nil
}
