package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The stores.
const (
	postgres = "PostgreSQL"
	sqlite   = "SQLite"
)

// options are the flags.
type options struct {
	quick  bool
	stores []string
	count  int
	small  int
	users  int
	seed   uint64
	end    int64 // Unix seconds; 0: as what is there, or else of today
	rounds int

	countAsks, questionAsks int // in a round

	dir                     string
	keep                    bool
	json, markdown, explain string
	command                 string // how the program was called, without paths
}

const synopsis = `questions measures what questions cost, on PostgreSQL and on SQLite: counts over
many events next to counts over few, and questions and an export next to SQL by
hand on the same tables. It fails when two answers differ.

usage: go run ./questions [flags]       in the directory load

It needs Linux, PostgreSQL (with its contrib modules) and Redis (the programs, not
running servers), some 6 GB for each 10 million events, and wants the machine for
itself.

`

// parseOptions reads the flags. Its error was printed to output already.
func parseOptions(args []string, output io.Writer) (*options, error) {
	o := &options{}
	set := flag.NewFlagSet("questions", flag.ContinueOnError)
	set.SetOutput(output)
	set.Usage = func() {
		fmt.Fprint(output, synopsis)
		set.PrintDefaults()
	}
	set.BoolVar(&o.quick, "quick", false, "see in about a minute that everything works and all answers are the same; the figures\nmean nothing, and go to load/results unless the paths are given")
	stores := set.String("stores", "postgres,sqlite", "`stores` to measure, with commas")
	set.IntVar(&o.count, "count", 10_000_000, "`events`")
	set.IntVar(&o.small, "small", 10_000, "`events` of the small database that counts are compared with")
	set.IntVar(&o.users, "users", 200_000, "`number` of users, of whom few are busy")
	set.Uint64Var(&o.seed, "seed", 1, "`number` that all events follow from")
	end := set.String("end", "", "`time` of the last event, like 2026-11-23T00:00:00Z (default: that of what is in -data, or some two hours ago)")
	set.IntVar(&o.rounds, "rounds", 5, "`number` of rounds; in each all that is compared takes turns, and the medians are reported")
	set.IntVar(&o.countAsks, "count-asks", 60, "how `often` a count is asked for in a round")
	set.IntVar(&o.questionAsks, "question-asks", 3, "how `often` a question is asked in a round")
	set.StringVar(&o.dir, "data", "", "`directory` for the databases, on the disk to measure (default: a temporary one);\nwhat an earlier run left there is used again if it has the same seed and counts")
	set.BoolVar(&o.keep, "keep", false, "leave the databases in -data for the next run")
	set.StringVar(&o.json, "json", "docs/benchmarks/questions.json", "`file` for every figure, from the repository's root like the next two")
	set.StringVar(&o.markdown, "markdown", "docs/benchmarks/questions.md", "`file` for the page")
	set.StringVar(&o.explain, "explain", "load/results/questions-explain.txt", "`file` for what EXPLAIN (ANALYZE, BUFFERS) says of PostgreSQL's statements")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	given := map[string]bool{}
	set.Visit(func(f *flag.Flag) { given[f.Name] = true })
	o.command = commandLine(set)
	if o.quick {
		change(given, "count", &o.count, 50_000)
		change(given, "small", &o.small, 5_000)
		change(given, "users", &o.users, 50) // so busy that some go all the way of a funnel
		change(given, "rounds", &o.rounds, 2)
		change(given, "count-asks", &o.countAsks, 10)
		change(given, "question-asks", &o.questionAsks, 1)
		change(given, "json", &o.json, "load/results/questions-quick.json")
		change(given, "markdown", &o.markdown, "load/results/questions-quick.md")
		change(given, "explain", &o.explain, "load/results/questions-quick-explain.txt")
	}
	err := o.validate(*stores, *end, set.Args())
	if err != nil {
		fmt.Fprintf(output, "questions: %v\nquestions: `go run ./questions -help` explains the flags\n", err)
	}
	return o, err
}

func change[T any](given map[string]bool, name string, value *T, to T) {
	if !given[name] {
		*value = to
	}
}

func (o *options) validate(stores, end string, rest []string) error {
	if len(rest) > 0 {
		return fmt.Errorf("%q is no flag", rest[0])
	}
	for name := range strings.SplitSeq(stores, ",") {
		store, known := map[string]string{"postgres": postgres, "sqlite": sqlite}[name]
		if !known || slices.Contains(o.stores, store) {
			return fmt.Errorf("-stores: %q: write postgres, sqlite or postgres,sqlite", stores)
		}
		o.stores = append(o.stores, store)
	}
	for name, n := range map[string]int{
		"count": o.count, "small": o.small, "users": o.users, "rounds": o.rounds, "count-asks": o.countAsks, "question-asks": o.questionAsks,
	} {
		if n < 1 {
			return fmt.Errorf("-%s must be at least 1, not %d", name, n)
		}
	}
	if end != "" {
		at, err := time.Parse(time.RFC3339, end)
		if err != nil {
			return fmt.Errorf("-end: %q is no time like 2026-11-23T00:00:00Z", end)
		}
		o.end = at.Unix()
	}
	if o.keep && o.dir == "" {
		return errors.New("-keep needs -data, the directory to leave the databases in")
	}
	return nil
}

// commandLine tells how the program was called. Files are told by their names
// alone: where they are on this machine is nobody's business.
func commandLine(set *flag.FlagSet) string {
	words := []string{"go run ./questions"}
	set.Visit(func(f *flag.Flag) {
		value := f.Value.String()
		switch f.Name {
		case "data", "json", "markdown", "explain":
			value = filepath.Base(value)
		}
		words = append(words, "-"+f.Name+"="+value)
	})
	return strings.Join(words, " ")
}
