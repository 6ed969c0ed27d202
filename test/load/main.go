// Command load measures the product next to what its parts cost alone, at
// saturation, at fixed rates and in batches, and checks that every event that was
// accepted is stored exactly once. What happens beyond saturation is test/torture's part.
//
// `go run ./load --help`, in the directory test, explains the flags, and docs/benchmarks.md
// shows the latest results.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/load/internal/command"
	"highload.example/analytics/test/load/report"
	"highload.example/analytics/test/progress"
)

func main() {
	if os.Getenv(serveBaselineEnv) != "" {
		os.Exit(baselineMain())
	}
	command.Main(program(&options{}))
}

func program(o *options) *command.Program {
	return &command.Program{
		Name: "load", Call: "cd test && go run ./load", Description: description, Flags: o,
		Run: func(ctx context.Context, line string, output io.Writer) error { return measure(ctx, o, line, output) },
	}
}

// measure does everything. Its error says what failed, or which events the product lost or
// altered.
func measure(ctx context.Context, o *options, line string, output io.Writer) (err error) {
	if runtime.GOOS != "linux" {
		return errors.New("this needs Linux: CPU time is read from /proc; elsewhere, run it in a container or a virtual machine")
	}
	root, err := harness.Root()
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
	x.servers, err = startServers(ctx, o, root)
	defer func() { err = errors.Join(err, x.servers.close()) }()
	if err != nil {
		return err
	}
	machine := report.DescribeMachine(x.servers.dir)
	machine.Postgres, machine.Redis = x.servers.postgres.Version(), x.servers.redis.Version()
	x.document = &report.Document{
		Meaningful: !o.Quick, Command: line, Started: started.UTC().Truncate(time.Second),
		Machine: machine, Settings: describeSettings(o),
	}
	for _, b := range o.Compare {
		x.document.Builds = append(x.document.Builds, b.label)
	}
	// What this program writes itself doesn't change what it measures.
	x.document.Commit, x.document.Dirty = harness.Revision(ctx, root, "docs/benchmarks", "docs/benchmarks.md")
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
		return fmt.Errorf("THE PRODUCT BROKE A PROMISE:\n%w", errors.Join(x.defects...))
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
	if err := report.WriteJSON(at(o.JSON), d); err != nil {
		return err
	}
	drawn, err := d.WriteSVG(at(o.SVG))
	if err != nil {
		return err
	}
	if err := d.WriteMarkdown(at(o.Markdown), at(o.SVG), filepath.Join(root, "docs", "benchmarks", "tried.md"), o.results()); err != nil {
		return err
	}
	fmt.Fprint(output, "\n"+d.Summary())
	fmt.Fprintf(output, "\nwritten: %s, %s", o.JSON, o.Markdown)
	if drawn {
		fmt.Fprintf(output, ", %s", o.SVG)
	}
	fmt.Fprintln(output)
	return nil
}
