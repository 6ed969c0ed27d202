package stand

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The sizes of a database's disk: small enough to be filled in a moment, and large enough
// for the log that it keeps and for what is stored meanwhile, twice as much as was seen.
const (
	diskBase      = 1 << 30
	diskPerMinute = 64 << 20
)

// mountDisk makes a directory the root of a file system of its own, in memory.
func mountDisk(dir string, stay time.Duration) error {
	size := diskBase + int64(stay.Minutes()*diskPerMinute)
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // PostgreSQL's account reads it, too
		return fmt.Errorf("making a directory: %w", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0755", size)); err != nil {
		return fmt.Errorf("mounting a small disk: %w (it takes root; without the faults that fill disks there is no need of it)", err)
	}
	return nil
}

func unmountDisk(dir string) error {
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting %s: %w", dir, err)
	}
	return nil
}

// onDisk has the testkit make its directory on a disk. It makes them where temporary
// ones are made.
func onDisk[T any](disk string, launch func() (T, error)) (made T, err error) {
	if disk == "" {
		return launch()
	}
	before, was := os.LookupEnv("TMPDIR")
	if err := os.Setenv("TMPDIR", disk); err != nil {
		return made, fmt.Errorf("setting TMPDIR: %w", err)
	}
	defer func() {
		if was {
			err = errors.Join(err, os.Setenv("TMPDIR", before))
		} else {
			err = errors.Join(err, os.Unsetenv("TMPDIR"))
		}
	}()
	return launch()
}

// ballast is the file that fills a disk.
const ballast = "ballast"

// Fill takes all that is free on a directory's disk.
func Fill(disk string) error {
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

// Empty gives back what Fill took.
func Empty(disk string) error {
	if err := os.Remove(filepath.Join(disk, ballast)); err != nil {
		return fmt.Errorf("emptying the disk: %w", err)
	}
	return nil
}
