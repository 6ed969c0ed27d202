// Command fuzz-minimize reduces the fuzz inputs in testdata/fuzz to a set that
// covers as much: `make fuzz-minimize`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

const usage = `usage: fuzz-minimize [-n] [-p processes] [target]

Deletes inputs of the fuzz targets below the working directory, in every module,
from testdata/fuzz, so that the rest and the seeds (f.Add) cover what all did.
TARGET is a regular expression that selects targets by name.

What an input covers is measured by running it alone: the blocks of its module's
code that it runs, and how often: once, twice, 3-4, 5-8, 9-16 times or more. Test
files don't count.

Go names inputs with 16 hexadecimal digits. An input with any other name is never
deleted: give one that found a defect a name that says which.

"make fuzz" leaves inputs that cover something new in Go's cache. To keep those
that testdata/fuzz lacks, copy them from $(go env GOCACHE)/fuzz/PACKAGE/TARGET to
testdata/fuzz/TARGET of the package, and run this.

`

func main() {
	os.Exit(run(".", os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code: 0, 1 when a target can't be measured, 2 when the
// arguments are wrong.
func run(root string, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("fuzz-minimize", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	dryRun := flags.Bool("n", false, "measure, but delete nothing")
	processes := flags.Int("p", runtime.NumCPU(), "how many inputs are run at a time")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	selected, err := regexp.Compile(flags.Arg(0))
	if err != nil || flags.NArg() > 1 || *processes < 1 {
		flags.Usage()
		return 2
	}
	targets, err := findTargets(root, selected)
	if err != nil {
		fmt.Fprintln(stderr, "fuzz-minimize:", err)
		return 1
	}
	if len(targets) == 0 {
		fmt.Fprintln(stderr, "fuzz-minimize: there is no such fuzz target")
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	code := 0
	for _, t := range targets {
		if err := minimize(ctx, t, *processes, *dryRun, stdout); err != nil {
			fmt.Fprintf(stderr, "fuzz-minimize: %s in %s: %v\n", t.name, t.dir, err)
			code = 1
		}
	}
	return code
}

// A target is a fuzz target: a function and the directory of its package.
type target struct{ dir, name string }

// inputDir is where the target's inputs are.
func (t target) inputDir() string { return filepath.Join(t.dir, "testdata", "fuzz", t.name) }

// findTargets finds the fuzz targets below root, in the order of their files.
func findTargets(root string, selected *regexp.Regexp) (targets []target, err error) {
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".")):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") && selected.MatchString(f.Name.Name) {
				targets = append(targets, target{dir: filepath.Dir(path), name: f.Name.Name})
			}
		}
		return nil
	})
	return targets, err
}

// goName matches the names that Go gives to inputs.
var goName = regexp.MustCompile(`^[0-9a-f]{16}$`)

// minimize deletes inputs of a target that cover nothing which the others don't,
// and prints a line about it.
func minimize(ctx context.Context, t target, processes int, dryRun bool, stdout io.Writer) error {
	b, err := buildBinary(ctx, t)
	if err != nil {
		return err
	}
	defer b.remove()
	seeds, files, err := b.inputs(ctx)
	if err != nil {
		return err
	}
	inputs := slices.Concat(seeds, files)
	measured, err := b.measure(ctx, inputs, processes)
	if err != nil {
		return err
	}
	var fixed, candidates []input
	for i, features := range measured {
		in := input{name: inputs[i], features: features}
		if i >= len(seeds) && goName.MatchString(in.name) {
			candidates = append(candidates, in)
		} else {
			fixed = append(fixed, in)
		}
	}
	superfluous := cover(fixed, candidates)
	kept := slices.DeleteFunc(slices.Clone(inputs), func(name string) bool { return slices.Contains(superfluous, name) })

	// Checked with all of them in one process, as tests run them.
	var covered [3]map[string]int
	for i, names := range [][]string{seeds, inputs, kept} {
		if covered[i], _, err = b.profile(ctx, "check", names...); err != nil {
			return err
		}
	}
	fmt.Fprintf(stdout, "%s in %s: %d seeds; %d inputs, %d kept; blocks covered: %d by seeds, %d by all before, %d after\n",
		t.name, t.dir, len(seeds), len(files), len(files)-len(superfluous), len(covered[0]), len(covered[1]), len(covered[2]))
	for block := range covered[1] {
		if covered[2][block] == 0 {
			return fmt.Errorf("nothing is deleted: %s would no longer be covered, what inputs cover isn't the same in every run", block)
		}
	}
	if dryRun {
		return nil
	}
	for _, name := range superfluous {
		if err := os.Remove(filepath.Join(t.inputDir(), name)); err != nil {
			return err
		}
	}
	return nil
}
