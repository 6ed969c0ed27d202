// Command questions measures what questions cost: counts over many events next to counts
// over few, and questions and an export next to the best SQL that a hand would write on
// the same tables. Both answers are compared, and have to be the same.
//
// `go run ./questions -help`, in the directory load, explains the flags, and
// docs/benchmarks/questions.md says what came of it last.
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

// The exit codes besides 0: the first also that of a run in which answers differed.
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
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	}
	if err := measure(ctx, o, stdout); err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(stderr, "questions: interrupted: nothing is left running, and no figures were written")
			return exitInterrupted
		}
		fmt.Fprintln(stderr, "questions:", err)
		return exitFailed
	}
	return 0
}

// measure does everything, one store after the other.
func measure(ctx context.Context, o *options, output io.Writer) (err error) {
	if runtime.GOOS != "linux" {
		return errors.New("this needs Linux: memory is read from /proc; elsewhere, run it in a container or a virtual machine")
	}
	root, err := checkout.Root()
	if err != nil {
		return err
	}
	x := &experiment{options: o, progress: progress.New(output, steps*len(o.stores))}
	defer x.progress.End()
	started := time.Now()
	x.document = &document{
		Meaningful: !o.quick, Command: o.command, Started: started.UTC().Truncate(time.Second), LoadAverage: loadAverage(),
	}
	x.document.Commit, x.document.Dirty = checkout.Revision(ctx, root)
	x.progress.Note("building what is needed")
	x.stand, err = openStand(ctx, o, root)
	defer func() { err = errors.Join(err, x.stand.close()) }()
	if err != nil {
		return err
	}
	x.document.Machine = report.DescribeMachine(x.stand.dir)
	x.document.Settings = settings{
		Count: o.count, Small: o.small, Users: o.users, Seed: o.seed, End: x.stand.stamp.End, Rounds: o.rounds, Stores: o.stores, Postgres: postgresSettings,
	}
	for _, store := range o.stores {
		if err := x.measureStore(ctx, store); err != nil {
			return fmt.Errorf("%s: %w", store, err)
		}
	}
	x.document.Seconds = time.Since(started).Seconds()
	x.progress.End()
	return x.write(root, output)
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
	files := []string{o.json, o.markdown}
	text, err := d.json()
	if err == nil {
		err = errors.Join(writeFile(at(o.json), text), writeFile(at(o.markdown), []byte(d.markdown())))
	}
	if len(x.plans) > 0 {
		files = append(files, o.explain)
		err = errors.Join(err, writeFile(at(o.explain), []byte(explained(x.plans))))
	}
	if err != nil {
		return err
	}
	fmt.Fprint(output, "\n"+d.summary())
	fmt.Fprint(output, "\nwritten:")
	for _, file := range files {
		fmt.Fprint(output, " ", file)
	}
	fmt.Fprintln(output)
	return nil
}

func writeFile(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // documentation, for everybody to read
		return fmt.Errorf("writing %s: %w", file, err)
	}
	if err := os.WriteFile(file, text, 0o644); err != nil { //nolint:gosec // documentation, for everybody to read
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}
