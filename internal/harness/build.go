package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// Variant is a way to build the product.
type Variant string

// The variants.
const (
	Release   Variant = ""          // as it is shipped
	Failpoint Variant = "failpoint" // with failpoints
	Race      Variant = "race"      // with the race detector, which ends the process at a race
)

// Root returns the repository's root: the directory, the working directory or one above it,
// that holds cmd/analytics.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "cmd", "analytics", "main.go")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("the repository isn't around %s: run this inside it", dir)
		}
	}
}

// BuildProduct builds a variant of the product into the repository's bin/, where every run
// shares it, and returns it. The go command leaves alone what is up to date.
func BuildProduct(ctx context.Context, root string, variant Variant) (Program, error) {
	name, args, env := "analytics", []string(nil), []string{"CGO_ENABLED=0"}
	var programEnv []string
	switch variant {
	case Release:
	case Failpoint:
		args = []string{"-tags", "failpoint"}
	case Race:
		// Without SQLite itself, as the Makefile has it: it is C translated to Go.
		args, env = []string{"-race", "-gcflags=modernc.org/sqlite/lib=-race=false", "-gcflags=modernc.org/libc=-race=false"}, []string{"CGO_ENABLED=1"}
		programEnv = []string{"GORACE=halt_on_error=1 atexit_sleep_ms=0"}
	}
	if variant != Release {
		name += "-" + string(variant)
	}
	path, err := BuildGo(ctx, root, name, root, "./cmd/analytics", env, args...)
	return Program{Path: path, Env: programEnv}, err
}

// BuildGo builds a package, named from a module's directory, into the repository's bin/.
// Processes that want it at the same time take turns.
func BuildGo(ctx context.Context, root, name, module, pkg string, env []string, args ...string) (path string, err error) {
	// The go command takes a relative path from the module's directory, not from ours.
	bin, err := filepath.Abs(filepath.Join(root, "bin"))
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", root, err)
	}
	if err := os.MkdirAll(bin, 0o755); err != nil { //nolint:gosec // other accounts may run what is in it
		return "", fmt.Errorf("making %s: %w", bin, err)
	}
	path = filepath.Join(bin, name)
	lock := flock.New(path + ".lock")
	if err := lock.Lock(); err != nil {
		return "", fmt.Errorf("locking %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	args = append(append([]string{"build"}, args...), "-o", path, pkg)
	build := exec.CommandContext(ctx, "go", args...) //nolint:gosec // our own code, to our own directory
	build.Dir = module
	build.Env = append(os.Environ(), env...)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// Revision returns the commit that is checked out, and whether files differ from it, but
// for those below the paths named. Outside a Git repository there is none.
func Revision(ctx context.Context, root string, ignored ...string) (commit string, dirty bool) {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...).Output() //nolint:gosec // no input of others
		return strings.TrimSpace(string(out)), err
	}
	commit, err := git("rev-parse", "HEAD")
	if err != nil {
		return "", false
	}
	status := []string{"status", "--porcelain", "--", "."}
	for _, path := range ignored {
		status = append(status, ":!"+path)
	}
	changes, err := git(status...)
	return commit, err != nil || changes != ""
}
