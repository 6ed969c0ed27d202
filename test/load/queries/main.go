// Command queries measures what queries cost: counts over many events next to counts
// over few, and queries and an export next to the best hand-written SQL on the same tables.
// Both results are compared, and have to be the same.
//
// `go run ./load/queries --help`, in the directory test, explains the flags, and
// docs/benchmarks/queries.md shows the latest results.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"time"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/load/internal/command"
	"highload.example/analytics/test/load/report"
	"highload.example/analytics/test/progress"
)

func main() { command.Main(program(&options{})) }

func program(o *options) *command.Program {
	return &command.Program{
		Name: "queries", Call: "cd test && go run ./load/queries", Description: description, Flags: o,
		Run: func(ctx context.Context, line string, output io.Writer) error { return measure(ctx, o, line, output) },
	}
}

// measure does everything, one store after the other.
func measure(ctx context.Context, o *options, line string, output io.Writer) (err error) {
	if runtime.GOOS != "linux" {
		return errors.New("this needs Linux: memory is read from /proc; elsewhere, run it in a container or a virtual machine")
	}
	root, err := harness.Root()
	if err != nil {
		return err
	}
	x := &experiment{options: o, progress: progress.New(output, steps*len(o.Stores))}
	defer x.progress.End()
	started := time.Now()
	x.document = &document{
		Meaningful: !o.Quick, Command: line, Started: started.UTC().Truncate(time.Second), LoadAverage: loadAverage(),
	}
	// What this program writes itself doesn't change what it measures.
	x.document.Commit, x.document.Dirty = harness.Revision(ctx, root, "docs/benchmarks", "docs/benchmarks.md")
	x.progress.Note("building what is needed")
	x.workspace, err = openWorkspace(ctx, o, root)
	defer func() { err = errors.Join(err, x.workspace.close()) }()
	if err != nil {
		return err
	}
	x.document.Machine = report.DescribeMachine(x.workspace.dir)
	x.document.Settings = settings{
		Count: o.Count, Small: o.Small, Users: o.Users, Seed: o.Seed, End: x.workspace.stamp.End, Rounds: o.Rounds, Stores: o.stores(), Postgres: postgresSettings,
	}
	for _, store := range o.stores() {
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
	absolute := func(path string) string {
		if filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(root, path)
	}
	o, d := x.options, x.document
	results := o.JSON
	if filepath.IsAbs(results) {
		results = filepath.Base(results)
	}
	files := []string{o.JSON, o.Markdown}
	err := errors.Join(report.WriteJSON(absolute(o.JSON), d), report.WriteFile(absolute(o.Markdown), []byte(d.markdown(results))))
	if len(x.plans) > 0 {
		files = append(files, o.Explain)
		err = errors.Join(err, report.WriteFile(absolute(o.Explain), []byte(explained(x.plans))))
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
