// Command load measures the product next to what its parts cost alone, at
// saturation, at fixed rates, in batches and with its database stopped, and checks
// that every event it was promised is stored exactly once.
//
// `go run . -help` explains the flags, and docs/benchmarks.md says what came of it
// last.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"highload.example/analytics/test/load/internal/checkout"
	"highload.example/analytics/test/load/report"
	"highload.example/analytics/test/progress"
)

// The exit codes besides 0: also that of a run that found events lost or doubled.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// command runs the program and returns its exit code.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == bareCommand {
		if err := serveBare(ctx, args[1:]); err != nil {
			fmt.Fprintln(stderr, "load:", err)
			return exitFailed
		}
		return 0
	}
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	}
	if err := measure(ctx, o, stdout); err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(stderr, "load: interrupted: nothing is left running, and no figures were written")
			return exitInterrupted
		}
		fmt.Fprintln(stderr, "load:", err)
		return exitFailed
	}
	return 0
}

// measure does everything. Its error says what failed, or what the product did
// wrong.
func measure(ctx context.Context, o *options, output io.Writer) (err error) {
	if runtime.GOOS != "linux" {
		return errors.New("this needs Linux: CPU time and memory are read from /proc; elsewhere, run it in a container or a virtual machine")
	}
	root, err := checkout.Root()
	if err != nil {
		return err
	}
	// The pacer's system calls hold a processor of Go's each time, though none of
	// the machine's.
	runtime.GOMAXPROCS(runtime.NumCPU() + 1)

	x := &experiment{options: o}
	x.progress = progress.New(output, x.steps())
	defer x.progress.End()
	started := time.Now()
	x.progress.Note("building and starting what is needed")
	x.stand, err = openStand(ctx, o, root)
	defer func() { err = errors.Join(err, x.stand.close()) }()
	if err != nil {
		return err
	}
	machine := report.DescribeMachine(x.stand.dir)
	machine.Postgres, machine.Redis = x.stand.postgres.Version(), x.stand.redis.Version()
	x.document = &report.Document{
		Meaningful: !o.quick, Command: o.command, Started: started.UTC().Truncate(time.Second),
		Machine: machine, Settings: describeSettings(o),
	}
	for _, b := range o.compare {
		x.document.Builds = append(x.document.Builds, b.label)
	}
	x.document.Commit, x.document.Dirty = checkout.Revision(ctx, root)
	if err := x.run(ctx); err != nil {
		return err
	}
	x.document.Seconds = time.Since(started).Seconds()
	x.document.Judge()
	x.progress.End()
	if err := x.write(root, output); err != nil {
		return err
	}
	if len(x.defects) > 0 {
		return fmt.Errorf("THE PRODUCT DID WRONG:\n%w", errors.Join(x.defects...))
	}
	return errors.Join(x.failures...)
}

// write writes the files and prints the goals.
func (x *experiment) write(root string, output io.Writer) error {
	at := func(path string) string {
		if filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(root, path)
	}
	o, d := x.options, x.document
	if err := d.WriteJSON(at(o.json)); err != nil {
		return err
	}
	drawn, err := d.WriteSVG(at(o.svg))
	if err != nil {
		return err
	}
	if err := d.WriteMarkdown(at(o.markdown), at(o.svg), filepath.Join(root, "docs", "benchmarks", "tried.md")); err != nil {
		return err
	}
	fmt.Fprint(output, "\n"+d.Summary())
	fmt.Fprintf(output, "\nwritten: %s, %s", o.json, o.markdown)
	if drawn {
		fmt.Fprintf(output, ", %s", o.svg)
	}
	fmt.Fprintln(output)
	return nil
}
