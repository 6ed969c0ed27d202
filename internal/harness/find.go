package harness

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The oldest versions that the product supports.
const (
	oldestPostgres = 15
	oldestRedis    = 7
)

// HowToInstall says what people on the usual systems need.
const HowToInstall = "install it: `apt-get install postgresql redis-server` on Debian and Ubuntu, `brew install postgresql@17 redis` on macOS"

// ErrNotInstalled is the one reason for which a test may be skipped: a program
// that is there and doesn't start is a failure.
var ErrNotInstalled = errors.New("not installed")

// findPostgres returns the directory of PostgreSQL's programs and their version:
// on the PATH, where pg_config says, or where Debian, Red Hat, Homebrew and
// Postgres.app put them.
func findPostgres() (bin, version string, err error) {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	if out, err := exec.CommandContext(context.Background(), "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", "", fmt.Errorf("looking for PostgreSQL: %w", err)
		}
		// The highest first. All that are new enough have two digits, so the
		// order of their names is that of their versions.
		slices.Sort(found)
		slices.Reverse(found)
		dirs = append(dirs, found...)
	}
	return choosePostgres(dirs)
}

// choosePostgres returns the first directory that has what we need.
func choosePostgres(dirs []string) (bin, version string, err error) {
	seen := ""
	for _, dir := range dirs {
		version, major, err := versionOf(filepath.Join(dir, "postgres"))
		if err != nil {
			continue // not there, or not a program of this machine
		}
		if major < oldestPostgres {
			seen = fmt.Sprintf(" (found only %s in %s)", version, dir)
			continue
		}
		if _, err := exec.LookPath(filepath.Join(dir, "initdb")); err != nil {
			seen = fmt.Sprintf(" (found %s in %s, but without initdb)", version, dir)
			continue
		}
		return dir, version, nil
	}
	return "", "", fmt.Errorf("PostgreSQL %d or newer is %w%s; %s", oldestPostgres, ErrNotInstalled, seen, HowToInstall)
}

// findRedis returns the Redis server's program and its version.
func findRedis() (program, version string, err error) {
	return chooseRedis([]string{"redis-server", "/opt/homebrew/bin/redis-server", "/usr/local/bin/redis-server"})
}

// chooseRedis returns the first program that is new enough.
func chooseRedis(names []string) (program, version string, err error) {
	seen := ""
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		version, major, err := versionOf(path)
		if err != nil {
			continue // not a program of this machine
		}
		if major >= oldestRedis {
			return path, version, nil
		}
		seen = fmt.Sprintf(" (found only %s: %s)", version, path)
	}
	return "", "", fmt.Errorf("redis-server %d or newer is %w%s; %s", oldestRedis, ErrNotInstalled, seen, HowToInstall)
}

func versionOf(program string) (version string, major int, err error) {
	out, err := exec.CommandContext(context.Background(), program, "--version").Output()
	if err != nil {
		return "", 0, fmt.Errorf("asking %s for its version: %w", program, err)
	}
	return parseVersion(string(out))
}

var versionForm = regexp.MustCompile(`(?:v=|\) )(\d+)((?:\.\d+)*)`)

// parseVersion reads what `postgres --version` and `redis-server --version` print.
func parseVersion(printed string) (version string, major int, err error) {
	m := versionForm.FindStringSubmatch(printed)
	if m == nil {
		return "", 0, fmt.Errorf("no version in %q", strings.TrimSpace(printed))
	}
	major, err = strconv.Atoi(m[1])
	return m[1] + m[2], major, err
}
