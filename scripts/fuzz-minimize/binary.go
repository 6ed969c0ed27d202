package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// A binary is a package's test binary that counts how often its module's code
// runs.
type binary struct {
	target target
	temp   string // a directory of its own
	path   string
}

func buildBinary(ctx context.Context, t target) (_ *binary, err error) {
	temp, err := os.MkdirTemp("", "fuzz-minimize-")
	if err != nil {
		return nil, err
	}
	b := &binary{target: t, temp: temp, path: filepath.Join(temp, "test.exe")}
	defer func() {
		if err != nil {
			b.remove()
		}
	}()
	module, err := b.command(ctx, "go", "list", "-f", "{{.Module.Path}}", ".")
	if err != nil {
		return nil, err
	}
	_, err = b.command(ctx, "go", "test", "-c", "-covermode=count", "-coverpkg="+strings.TrimSpace(module)+"/...", "-o", b.path, ".")
	return b, err
}

func (b *binary) remove() { _ = os.RemoveAll(b.temp) }

// command runs a program in the package's directory and returns what it printed.
func (b *binary) command(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the go command and what it built
	cmd.Dir = b.target.dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, tail(stdout.String()), tail(stderr.String()))
	}
	return stdout.String(), nil
}

// tail returns the last lines of an output.
func tail(text string) string { return text[max(0, len(text)-2000):] }

// inputs lists the target's seeds and files.
func (b *binary) inputs(ctx context.Context) (seeds, files []string, err error) {
	out, err := b.command(ctx, b.path, "-test.v", "-test.run", "^"+b.target.name+"$/^seed#")
	if err != nil {
		return nil, nil, err
	}
	for _, match := range regexp.MustCompile(`(?m)^=== RUN +`+b.target.name+`/(seed#\d+)$`).FindAllStringSubmatch(out, -1) {
		seeds = append(seeds, match[1])
	}
	entries, err := os.ReadDir(b.target.inputDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	for _, e := range entries {
		files = append(files, e.Name())
	}
	return seeds, files, nil
}

// measure runs each input alone, several at a time, and returns what they cover.
func (b *binary) measure(ctx context.Context, names []string, processes int) ([]map[feature]bool, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// What runs before the first input counts for none.
	setup, _, err := b.profile(ctx, "setup")
	if err != nil {
		return nil, err
	}
	measured := make([]map[feature]bool, len(names))
	next := make(chan int)
	var done sync.WaitGroup
	for p := range processes {
		done.Go(func() {
			for i := range next {
				features, err := b.measureOne(ctx, strconv.Itoa(p), names[i], setup)
				if err != nil {
					cancel(err) // what is left fails at once
				}
				measured[i] = features
			}
		})
	}
	for i := range names {
		next <- i
	}
	close(next)
	done.Wait()
	return measured, context.Cause(ctx)
}

func (b *binary) measureOne(ctx context.Context, file, name string, setup map[string]int) (map[feature]bool, error) {
	counts, out, err := b.profile(ctx, file, name)
	if err != nil {
		return nil, err
	}
	// An input that wasn't run would seem to cover nothing.
	if !strings.Contains(out, "=== RUN   "+b.target.name+"/"+name+"\n") {
		return nil, fmt.Errorf("input %s was not run:\n%s", name, tail(out))
	}
	features := map[feature]bool{}
	for block, times := range counts {
		if times > setup[block] {
			features[feature{block, class(times - setup[block])}] = true
		}
	}
	return features, nil
}

// profile runs some inputs in one process. It returns how often they ran each block
// that they ran, and what was printed. The file is for what the process writes.
func (b *binary) profile(ctx context.Context, file string, names ...string) (counts map[string]int, out string, err error) {
	file = filepath.Join(b.temp, file)
	patterns := make([]string, len(names))
	for i, name := range names {
		patterns[i] = regexp.QuoteMeta(name)
	}
	run := "^" + b.target.name + "$/^(" + strings.Join(patterns, "|") + ")$"
	out, err = b.command(ctx, b.path, "-test.v", "-test.run", run, "-test.coverprofile", file)
	if err != nil {
		return nil, "", err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, "", err
	}
	counts, err = readProfile(string(text))
	return counts, out, err
}

// readProfile reads lines of "file:from,to statements count" behind a line with
// the mode.
func readProfile(text string) (map[string]int, error) {
	counts := map[string]int{}
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if i == 0 {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("coverage profile: line %d: %q", i+1, line)
		}
		n, err := strconv.Atoi(fields[2])
		if err != nil {
			return nil, fmt.Errorf("coverage profile: line %d: %w", i+1, err)
		}
		if n > 0 {
			counts[fields[0]] += n
		}
	}
	return counts, nil
}
