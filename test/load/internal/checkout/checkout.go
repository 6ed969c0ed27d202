// Package checkout finds the repository that a program of it was started in, says which
// commit it is at, and builds what is measured.
package checkout

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Root finds the repository from the working directory: the directory that
// holds both the product and this program.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		_, loadErr := os.Stat(filepath.Join(at, "load", "go.mod"))
		_, productErr := os.Stat(filepath.Join(at, "cmd", "analytics"))
		if loadErr == nil && productErr == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("the repository isn't around %s: run this in its directory load", dir)
		}
	}
}

// Revision returns the commit that is checked out, and whether files differ from
// it. Outside a Git repository there is none.
func Revision(ctx context.Context, root string) (commit string, dirty bool) {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...).Output() //nolint:gosec // no input of others
		return strings.TrimSpace(string(out)), err
	}
	commit, err := git("rev-parse", "HEAD")
	if err != nil {
		return "", false
	}
	// What this program writes itself doesn't change what it measures.
	changes, err := git("status", "--porcelain", "--", ".", ":!docs/benchmarks", ":!docs/benchmarks.md")
	return commit, err != nil || changes != ""
}

// Build builds a program: a package's path from a module's directory, without cgo as it
// is shipped.
func Build(ctx context.Context, dir, to, program string) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", to, program) //nolint:gosec // our own code, to our own directory
	build.Dir = dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", program, err, out)
	}
	return nil
}
