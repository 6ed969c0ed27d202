package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// commandTimeout is far above what any check takes; what it stops has hung.
const commandTimeout = 10 * time.Minute

// tree is the repository as it is on disk, committed or not. Nothing here changes it.
type tree struct {
	root    string
	files   []string // relative to root, sorted; without what git ignores
	scratch string   // a directory for everything that is written
	serial  atomic.Int64
	slots   chan struct{} // one for each check that may run at a time
}

// openTree opens the repository that contains a directory.
func openTree(ctx context.Context, dir, scratch string, parallel int) (*tree, error) {
	t := &tree{root: dir, scratch: scratch, slots: make(chan struct{}, parallel)}
	top, err := t.output(ctx, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, err
	}
	t.root = strings.TrimSuffix(top, "\n")
	list, err := t.output(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return nil, err
	}
	for file := range strings.SplitSeq(strings.TrimSuffix(list, "\x00"), "\x00") {
		if info, err := os.Lstat(filepath.Join(t.root, file)); err == nil && info.Mode().IsRegular() {
			t.files = append(t.files, file)
		}
	}
	slices.Sort(t.files)
	t.files = slices.Compact(t.files)
	return t, nil
}

// match returns the files that a pattern names: one file, everything in a directory, or
// with **/ before it a pattern of file names in any directory. There must be some.
func (t *tree) match(pattern string) ([]string, error) {
	var found []string
	names, anywhere := strings.CutPrefix(pattern, "**/")
	for _, file := range t.files {
		named, err := path.Match(names, path.Base(file))
		if err != nil {
			return nil, err
		}
		if anywhere && named || file == pattern || strings.HasPrefix(file, pattern+"/") {
			found = append(found, file)
		}
	}
	if found == nil {
		return nil, fmt.Errorf("there is no file at %s", pattern)
	}
	return found, nil
}

// variant is the tree with some files replaced or added. Without any it is the tree as
// it is.
type variant map[string][]byte

// edit returns the tree with edits applied.
func (t *tree) edit(edits []edit) (variant, error) {
	v := variant{}
	for _, e := range edits {
		before, err := t.read(v, e.file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		after, err := e.apply(before)
		if err != nil {
			return nil, fmt.Errorf("the edit of %s does not apply: %w", e.file, err)
		}
		if bytes.Equal(before, after) {
			return nil, fmt.Errorf("the edit of %s changes nothing", e.file)
		}
		v[e.file] = after
	}
	return v, nil
}

// read returns a file of a variant.
func (t *tree) read(v variant, file string) ([]byte, error) {
	if content, ok := v[file]; ok {
		return content, nil
	}
	return os.ReadFile(filepath.Join(t.root, file))
}

// dir makes an empty directory.
func (t *tree) dir() (string, error) {
	dir := filepath.Join(t.scratch, strconv.FormatInt(t.serial.Add(1), 10))
	return dir, os.MkdirAll(dir, 0o700)
}

// write writes a file of a variant below a directory.
func (t *tree) write(v variant, dir, file string) (string, error) {
	content, err := t.read(v, file)
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, file)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return "", err
	}
	info, err := os.Stat(filepath.Join(t.root, file))
	if errors.Is(err, fs.ErrNotExist) {
		return name, os.WriteFile(name, content, 0o600)
	}
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(name, content, info.Mode().Perm()); err != nil {
		return "", err
	}
	if _, edited := v[file]; edited {
		return name, nil
	}
	return name, os.Chtimes(name, time.Time{}, info.ModTime()) // make compares times
}

// sandbox writes files of a variant, and whatever the variant adds, as a repository of
// its own.
func (t *tree) sandbox(ctx context.Context, files []string, v variant) (string, error) {
	dir, err := t.dir()
	if err != nil {
		return "", err
	}
	for _, file := range slices.Concat(files, slices.Collect(maps.Keys(v))) {
		if _, err := t.write(v, dir, file); err != nil {
			return "", err
		}
		if filepath.Base(file) == "package.json" {
			if err := t.linkPackages(ctx, dir, filepath.Dir(file)); err != nil {
				return "", err
			}
		}
	}
	_, err = t.output(ctx, "git", "init", "-q", dir)
	return dir, err
}

// linkPackages lends a sandbox what npm has installed for a directory of the tree.
func (t *tree) linkPackages(ctx context.Context, sandbox, dir string) error {
	if _, err := t.output(ctx, "make", "-s", "-C", dir, "node_modules/.package-lock.json"); err != nil {
		return err
	}
	return os.Symlink(filepath.Join(t.root, dir, "node_modules"), filepath.Join(sandbox, dir, "node_modules"))
}

// result is how a command ended.
type result struct {
	passed bool
	output string // of stdout and stderr together
}

// run runs a command. That it exits with another code than 0 is a result, not an error.
func (t *tree) run(ctx context.Context, dir string, env []string, name string, args ...string) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	command := t.command(ctx, dir, env, name, args...)
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return result{}, fmt.Errorf("%s: %w", name, ctx.Err())
	case errors.As(err, &exit) && exit.Exited():
		return result{output: string(out)}, nil
	case err != nil:
		return result{}, fmt.Errorf("%s: %w", name, err)
	}
	return result{passed: true, output: string(out)}, nil
}

// output runs a command in the root that has to succeed, and returns its stdout.
func (t *tree) output(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	command := t.command(ctx, t.root, nil, name, args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out), nil
}

func (t *tree) command(ctx context.Context, dir string, env []string, name string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, name, args...) //nolint:gosec // the commands are those of the table of checks
	command.Dir = dir
	command.WaitDelay = 5 * time.Second // a grandchild may hold the pipe
	for _, variable := range append(os.Environ(), env...) {
		switch name, _, _ := strings.Cut(variable, "="); name {
		case "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES": // of the make that started this program
		default:
			command.Env = append(command.Env, variable)
		}
	}
	return command
}
