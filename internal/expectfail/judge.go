package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// judgeOne judges one variant.
type judgeOne func(ctx context.Context, t *tree, inputs []string, v variant) (result, error)

// each judges variants one by one, as many at a time as there are slots.
func each(judge judgeOne) func(context.Context, *tree, []string, []variant, func(int, verdict)) {
	return func(ctx context.Context, t *tree, inputs []string, variants []variant, report func(int, verdict)) {
		one := func(v variant) verdict {
			t.slots <- struct{}{}
			defer func() { <-t.slots }()
			started := time.Now()
			r, err := judge(ctx, t, inputs, v)
			return verdict{r, err, time.Since(started)}
		}
		sound := one(variants[0])
		report(0, sound)
		if err := sound.unsound(); err != nil {
			for i := range variants[1:] {
				report(i+1, verdict{err: err})
			}
			return
		}
		var others sync.WaitGroup
		for i, v := range variants[1:] {
			others.Go(func() { report(i+1, one(v)) })
		}
		others.Wait()
	}
}

// inSandbox runs a command in a directory that has the check's inputs and nothing else.
// That the command passes there on the tree as it is proves that they are all.
func inSandbox(command func(v variant) []string) func(context.Context, *tree, []string, []variant, func(int, verdict)) {
	return each(func(ctx context.Context, t *tree, inputs []string, v variant) (result, error) {
		dir, err := t.sandbox(ctx, inputs, v)
		if err != nil {
			return result{}, err
		}
		args := command(v)
		return t.run(ctx, dir, nil, args[0], args[1:]...)
	})
}

// compare compares the contracts of variants with that of the tree as it is. The tool is
// looked up, and built if it has to be, once for all.
func compare(ctx context.Context, t *tree, inputs []string, variants []variant, report func(int, verdict)) {
	oasdiff, err := t.output(ctx, "env", "CGO_ENABLED=0", "go", "tool", "-n", "-modfile=tools/oasdiff/go.mod", "oasdiff")
	if err != nil {
		for i := range variants {
			report(i, verdict{err: err})
		}
		return
	}
	inSandbox(func(variant) []string {
		return []string{"make", "-s", "breaking", "BASE=" + filepath.Join(t.root, spec), "OASDIFF=" + strings.TrimSpace(oasdiff)}
	})(ctx, t, inputs, variants, report)
}

// generate refuses what nothing would check of a request in its first step. In the
// sandbox no other could pass, and on the tree as it is none has to.
func generate(v variant) []string {
	if len(v) == 0 {
		return []string{"make", "-s", "check-keywords"}
	}
	return []string{"make", "-s", "generate"}
}

// goTest is a test that is given a variant as an overlay, which replaces what is
// compiled and what `go list` sees, and not what a test reads from disk.
func goTest(pkg, test string) *check {
	return &check{"go test " + pkg + " -run " + test, dependencies(pkg), each(func(ctx context.Context, t *tree, _ []string, v variant) (result, error) {
		flags, err := t.overlay(ctx, v)
		if err != nil {
			return result{}, err
		}
		args := []string{"test", "-vet=off", pkg, "-run", test + "$"}
		if len(v) > 0 {
			// Go doesn't know that a test runs `go list`, and that the overlay changes what
			// that says.
			args = append(args, "-count=1")
		}
		return t.run(ctx, t.root, []string{flags}, "go", args...)
	})}
}

// overlay returns the GOFLAGS for every go command, those that a test runs too, to see
// a variant.
func (t *tree) overlay(ctx context.Context, v variant) (string, error) {
	dir, err := t.dir()
	if err != nil {
		return "", err
	}
	replaced := map[string]string{}
	for file := range v {
		path, err := t.write(v, dir, file)
		if err != nil {
			return "", err
		}
		replaced[filepath.Join(t.root, file)] = path
	}
	encoded, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, encoded, 0o600); err != nil {
		return "", err
	}
	flags, err := t.output(ctx, "go", "env", "GOFLAGS")
	return fmt.Sprintf("GOFLAGS=%s '-overlay=%s'", strings.TrimSpace(flags), path), err
}

// readsReadme runs the test of the README where it finds a variant's: it reads the file
// from disk, two directories up.
func readsReadme(ctx context.Context, t *tree, _ []string, v variant) (result, error) {
	dir, err := t.dir()
	if err != nil {
		return result{}, err
	}
	if _, err := t.write(v, dir, "README.md"); err != nil {
		return result{}, err
	}
	program := filepath.Join(t.scratch, "config.test")
	if _, err := t.output(ctx, "go", "test", "-c", "-o", program, "./impl/config"); err != nil {
		return result{}, err
	}
	home := filepath.Join(dir, "impl", "config")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return result{}, err
	}
	return t.run(ctx, home, nil, program, "-test.run", "TestReadme")
}
