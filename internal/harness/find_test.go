package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVersionsAsProgramsPrintThem(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		printed, version string
		major            int
	}{
		{"postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n", "15.13", 15},
		{"postgres (PostgreSQL) 17.5 (Homebrew)\n", "17.5", 17},
		{"postgres (PostgreSQL) 14.18 (Ubuntu 14.18-0ubuntu0.22.04.1)\n", "14.18", 14},
		{"postgres (PostgreSQL) 9.6.24\n", "9.6.24", 9},
		{"postgres (PostgreSQL) 18beta1\n", "18", 18},
		{"postgres (PostgreSQL) 19devel\n", "19", 19},
		{"Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0\n", "7.0.15", 7},
		{"Redis server v=8.0.2 sha=00000000:1 malloc=libc bits=64 build=1\n", "8.0.2", 8},
		{"Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=a\n", "6.0.16", 6},
	} {
		version, major, err := parseVersion(c.printed)
		if err != nil || version != c.version || major != c.major {
			t.Errorf("%q: %q, %d, %v", c.printed, version, major, err)
		}
	}
	for _, printed := range []string{"", "\n", "command not found", "postgres (PostgreSQL) devel"} {
		if version, major, err := parseVersion(printed); err == nil {
			t.Errorf("%q: %q, %d", printed, version, major)
		}
	}
}

// install writes programs which only say their version, and returns their
// directory.
func install(t *testing.T, prints string, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		script := fmt.Sprintf("#!/bin/sh\necho '%s'\n", prints)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTheFirstPostgresThatIsNewEnoughIsChosen(t *testing.T) {
	t.Parallel()
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	old := install(t, "postgres (PostgreSQL) 14.2", "postgres", "initdb")
	clientOnly := install(t, "postgres (PostgreSQL) 16.1", "postgres")
	good := install(t, "postgres (PostgreSQL) 15.4", "postgres", "initdb")
	better := install(t, "postgres (PostgreSQL) 17.0", "postgres", "initdb")
	bin, version, err := choosePostgres([]string{nowhere, old, clientOnly, good, better})
	if err != nil || bin != good || version != "15.4" {
		t.Errorf("%q, %q, %v", bin, version, err)
	}
	_, _, err = choosePostgres([]string{nowhere, old})
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "14.2 in "+old) {
		t.Errorf("with only an old one: %v", err)
	}
	if _, _, err = choosePostgres(nil); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("with none: %v", err)
	}
}

func TestTheFirstRedisThatIsNewEnoughIsChosen(t *testing.T) {
	t.Parallel()
	old := filepath.Join(install(t, "Redis server v=6.2.7 sha=0", "redis-server"), "redis-server")
	good := filepath.Join(install(t, "Redis server v=7.2.1 sha=0", "redis-server"), "redis-server")
	program, version, err := chooseRedis([]string{"testkit-no-such-program", old, good})
	if err != nil || program != good || version != "7.2.1" {
		t.Errorf("%q, %q, %v", program, version, err)
	}
	_, _, err = chooseRedis([]string{old})
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "6.2.7") {
		t.Errorf("with only an old one: %v", err)
	}
}
