// Command expectfail breaks the tree on purpose, in one way after the other, and expects
// the check that guards it to fail and to name the cause: a check that can't fail guards
// nothing. It changes nothing in the tree itself.
//
// A case runs when the content of any file that decides its verdict has changed since it
// last passed on this machine; of the others a random sample runs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/alecthomas/kong"
)

// options are the command line.
type options struct {
	All    bool   `help:"Run every case."`
	Run    string `help:"Run every case whose name or command matches, and no other." placeholder:"REGEXP"`
	Seed   uint64 `help:"Choose the sample; 0 takes a new seed."`
	Sample int    `help:"How many of the cases run of which nothing has changed." default:"5"`
}

// The exit codes besides 0.
const (
	exitFailed = 1 // a check passed that had to fail, or a case couldn't be judged
	exitError  = 2 // nothing was run, or the run itself failed
)

func main() {
	var o options
	kong.Parse(&o, kong.Name("expectfail"), kong.Description("Break the tree on purpose and expect the checks to fail."))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, o, os.Stdout)
	stop()
	os.Exit(code)
}

// run runs cases of the table on the tree of the working directory.
func run(ctx context.Context, o options, out io.Writer) int {
	caches, err := os.UserCacheDir()
	if err != nil {
		fmt.Fprintln(out, "expect-fail:", err)
		return exitError
	}
	node, err := exec.CommandContext(ctx, "node", "--version").Output()
	if err != nil {
		fmt.Fprintln(out, "expect-fail: node --version:", err)
		return exitError
	}
	r := runner{
		dir:      ".",
		cacheDir: filepath.Join(caches, "analytics", "expect-fail"),
		versions: []string{runtime.Version(), runtime.GOOS, runtime.GOARCH, string(node)},
		cases:    cases,
		out:      out,
	}
	return r.run(ctx, o)
}

// runner is what a run depends on.
type runner struct {
	dir      string // in the tree
	cacheDir string
	versions []string // of the tools that no file of the tree pins
	cases    []expectFail
	out      io.Writer
}

// run runs what the options select of the cases, and returns the exit code.
func (r *runner) run(ctx context.Context, o options) int {
	failed, err := r.try(ctx, o)
	switch {
	case err != nil:
		fmt.Fprintln(r.out, "expect-fail:", err)
		return exitError
	case len(failed) > 0:
		return exitFailed
	}
	return 0
}

// try returns the names of the cases that failed or couldn't be judged.
func (r *runner) try(ctx context.Context, o options) (failed []string, err error) {
	scratch, err := os.MkdirTemp("", "expect-fail-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	t, err := openTree(ctx, r.dir, scratch, runtime.NumCPU())
	if err != nil {
		return nil, err
	}
	passes, err := openCache(r.cacheDir)
	if err != nil {
		return nil, fmt.Errorf("the cache of what has passed: %w", err)
	}
	known, err := r.look(ctx, t, passes)
	if err != nil {
		return nil, err
	}
	p, err := choose(o, known)
	if err != nil {
		return nil, err
	}
	p.announce(r.out)
	failed = r.runAll(ctx, t, passes, p.run)
	p.summarize(r.out, failed)
	return failed, nil
}

// candidate is a case and what is known about it.
type candidate struct {
	expectFail
	inputs    []string // of its check
	digest    string
	unchanged bool // it has passed with this digest
}

// look finds out which cases have passed as they are now.
func (r *runner) look(ctx context.Context, t *tree, passes *cache) ([]candidate, error) {
	d := &digester{t, r.versions, map[string]string{}}
	inputs := map[*check][]string{}
	var known []candidate
	for _, c := range r.cases {
		if _, ok := inputs[c.check]; !ok {
			files, err := c.check.inputs(ctx, t)
			if err != nil {
				return nil, fmt.Errorf("the inputs of %s: %w", c.check.command, err)
			}
			inputs[c.check] = files
		}
		digest, err := d.digest(c, inputs[c.check])
		if err != nil {
			return nil, err
		}
		unchanged, err := passes.passed(digest, c.name)
		if err != nil {
			return nil, fmt.Errorf("the cache of what has passed: %w", err)
		}
		known = append(known, candidate{c, inputs[c.check], digest, unchanged})
	}
	return known, nil
}

// plan is what runs and what doesn't.
type plan struct {
	run     []candidate
	sampled []candidate // of those that run
	left    []candidate
	changed int // of those that run
	seed    uint64
}

// choose takes every case that has changed, and a sample of the others.
func choose(o options, known []candidate) (plan, error) {
	wanted, err := regexp.Compile(o.Run)
	if err != nil {
		return plan{}, err
	}
	p := plan{seed: o.Seed}
	for p.seed == 0 {
		p.seed = rand.Uint64N(1_000_000) //nolint:gosec // chooses a sample
	}
	var unchanged []candidate
	for _, c := range known {
		switch {
		case o.Run != "" && !wanted.MatchString(c.name) && !wanted.MatchString(c.check.command):
		case o.All || o.Run != "" || !c.unchanged:
			p.run = append(p.run, c)
			if !c.unchanged {
				p.changed++
			}
		default:
			unchanged = append(unchanged, c)
		}
	}
	if len(p.run)+len(unchanged) == 0 {
		return plan{}, errors.New("there is no such case")
	}
	random := rand.New(rand.NewPCG(p.seed, 0)) //nolint:gosec // chooses a sample
	random.Shuffle(len(unchanged), func(i, j int) { unchanged[i], unchanged[j] = unchanged[j], unchanged[i] })
	n := max(0, min(o.Sample, len(unchanged)))
	p.sampled, p.left = unchanged[:n], unchanged[n:]
	p.run = append(p.run, p.sampled...)
	return p, nil
}

func (p plan) announce(out io.Writer) {
	fmt.Fprintf(out, "expect-fail: %d cases", len(p.run))
	if len(p.sampled)+len(p.left) > 0 {
		var names []string
		for _, c := range p.sampled {
			names = append(names, c.name)
		}
		fmt.Fprintf(out, ": %d changed since they passed on this machine, or never did, and of the others %d (SEED=%d): %s", p.changed, len(p.sampled), p.seed, strings.Join(names, "; "))
	}
	fmt.Fprintln(out)
}

func (p plan) summarize(out io.Writer, failed []string) {
	fmt.Fprintf(out, "expect-fail: %d cases ran: %d changed or new", len(p.run), p.changed)
	switch {
	case len(p.left) > 0:
		fmt.Fprintf(out, ", %d as a sample (SEED=%d); %d are left to `make nightly`: nothing that decides them has changed since they passed on this machine", len(p.sampled), p.seed, len(p.left))
	case len(p.sampled) > 0:
		fmt.Fprintf(out, ", %d as a sample", len(p.sampled))
	case len(p.run) > p.changed:
		fmt.Fprintf(out, ", %d unchanged", len(p.run)-p.changed)
	}
	fmt.Fprintln(out)
	if len(failed) > 0 {
		fmt.Fprintf(out, "expect-fail: %d cases failed: %s\n", len(failed), strings.Join(failed, "; "))
	}
}

// runAll runs cases, prints a line for each as it ends, and returns the names of those
// that failed or couldn't be judged.
func (r *runner) runAll(ctx context.Context, t *tree, passes *cache, run []candidate) (failed []string) {
	var mu sync.Mutex
	judged := map[string]bool{}
	report := func(c candidate, v verdict) {
		line, err := v.judge(c.expectFail)
		if err == nil {
			err = passes.remember(c.digest, c.name)
		}
		mu.Lock()
		defer mu.Unlock()
		judged[c.name] = true
		if err != nil {
			failed = append(failed, c.name)
			fmt.Fprintf(r.out, "FAIL %5.1f s  %s: %s: %v\n", v.took.Seconds(), c.check.command, c.name, err)
			return
		}
		fmt.Fprintf(r.out, "ok   %5.1f s  %s: %s: %s\n", v.took.Seconds(), c.check.command, c.name, line)
	}
	byCheck := map[*check][]candidate{}
	for _, c := range run {
		byCheck[c.check] = append(byCheck[c.check], c)
	}
	var checks sync.WaitGroup
	for check, candidates := range byCheck {
		checks.Go(func() {
			variants := []variant{{}}
			var applied []candidate
			for _, c := range candidates {
				v, err := t.edit(c.edits)
				if err != nil {
					report(c, verdict{err: err})
					continue
				}
				variants = append(variants, v)
				applied = append(applied, c)
			}
			if len(applied) == 0 {
				return
			}
			check.judge(ctx, t, applied[0].inputs, variants, func(i int, v verdict) {
				if i > 0 {
					report(applied[i-1], v)
				}
			})
		})
	}
	checks.Wait()
	for _, c := range run {
		if !judged[c.name] {
			report(c, verdict{err: errors.New("the check gave no verdict")})
		}
	}
	return failed
}

// judge returns the line in which the check names the cause, or an error if it didn't.
func (v verdict) judge(c expectFail) (line string, err error) {
	if v.err != nil {
		return "", fmt.Errorf("it could not be judged: %w", v.err)
	}
	if v.passed {
		return "", errors.New("the check passed")
	}
	for _, text := range c.says {
		if !strings.Contains(v.output, text) {
			return "", fmt.Errorf("the check failed without saying %q:\n%s", text, tail(v.output, 15))
		}
	}
	for line := range strings.Lines(v.output) {
		if strings.Contains(line, c.says[0]) {
			return shorten(strings.TrimSpace(line), 140), nil
		}
	}
	return "", fmt.Errorf("%q is more than a line", c.says[0])
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func shorten(line string, runes int) string {
	if all := []rune(line); len(all) > runes {
		return string(all[:runes]) + "…"
	}
	return line
}
