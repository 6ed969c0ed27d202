package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"highload.example/analytics/test/load/report"
)

// The parts that -only chooses from.
const (
	partSaturation = "saturation"
	partRates      = "rates"
	partBatches    = "batches"
	partOverload   = "overload"
)

var allParts = []string{partSaturation, partRates, partBatches, partOverload}

// serverWriters is how many writers the product has, pgWriters in
// impl/app/deployment.go, which a test holds this to.
const serverWriters = 2

// options are the flags.
type options struct {
	quick   bool
	parts   []string
	rounds  int
	binary  string
	compare []build

	connections int
	duration    time.Duration
	warmUp      time.Duration

	fractions    []float64
	rateDuration time.Duration
	rateWarmUp   time.Duration

	batch            int
	batchConnections int
	writers          int

	overloadConnections int
	overloadDuration    time.Duration

	users  int64
	spread time.Duration
	seed   uint64

	dir                 string
	json, markdown, svg string
	command             string // how the program was called, without paths
}

// build is another build of the product, to compare with.
type build struct{ label, binary string }

const synopsis = `load measures the product on this machine, next to a bare net/http server and a
bare loop of inserts, and checks that everything accepted is stored exactly once.

usage: go run . [flags]                 in the directory load

It needs Linux, PostgreSQL and Redis (the programs, not running servers), takes
about a quarter of an hour, and wants the machine for itself. Durations are
written like 500ms, 8s or 1m.

`

// parseOptions reads the flags. Its error was printed to output already.
func parseOptions(args []string, output io.Writer) (*options, error) {
	o := &options{}
	set := flag.NewFlagSet("load", flag.ContinueOnError)
	set.SetOutput(output)
	set.Usage = func() {
		fmt.Fprint(output, synopsis)
		set.PrintDefaults()
	}
	set.BoolVar(&o.quick, "quick", false, "see in under a minute that everything works; the figures mean nothing,\nand go to load/results unless the paths are given")
	only := set.String("only", strings.Join(allParts, ","), "`parts` to run, with commas; rates and overload also measure saturation once,\nbecause their rates are shares of it")
	set.IntVar(&o.rounds, "rounds", 3, "`number` of rounds; in each every subject has its turn, and the medians are reported")
	set.StringVar(&o.binary, "binary", "", "`file` of the product's program (default: built from ../cmd/analytics)")
	set.Func("compare", "`label=file` of another build of the product to measure in the same run; may be repeated", func(text string) error {
		label, file, found := strings.Cut(text, "=")
		if !found || label == "" || file == "" {
			return errors.New("write label=file")
		}
		o.compare = append(o.compare, build{label: label, binary: file})
		return nil
	})
	set.IntVar(&o.connections, "connections", 512, "`number` of connections for saturation and rates")
	set.DurationVar(&o.duration, "duration", 8*time.Second, "how long saturation and batches are measured in each round")
	set.DurationVar(&o.warmUp, "warm-up", 2*time.Second, "how long they run before, unmeasured")
	fractions := set.String("fractions", "0.1,0.25,0.5,0.7,0.85,0.95,1.1", "`shares` of saturation that the rates are, with commas; the goals need 0.5")
	set.DurationVar(&o.rateDuration, "rate-duration", 6*time.Second, "how long each rate is measured in each round")
	set.DurationVar(&o.rateWarmUp, "rate-warm-up", time.Second, "how long each rate runs before, unmeasured")
	set.IntVar(&o.batch, "batch", 1000, "`events` in a batch, at most 5000")
	set.IntVar(&o.batchConnections, "batch-connections", 16, "`number` of connections that send batches")
	set.IntVar(&o.writers, "writers", serverWriters, "`number` of connections of the loop of inserts: as many as the server has writers")
	set.IntVar(&o.overloadConnections, "overload-connections", 1024, "`number` of connections while the database is stopped")
	set.DurationVar(&o.overloadDuration, "overload-duration", 15*time.Second, "how long the database is stopped")
	set.Int64Var(&o.users, "users", 200_000, "`number` of users")
	set.DurationVar(&o.spread, "spread", 10*time.Second, "how long before it is sent an event may have happened")
	set.Uint64Var(&o.seed, "seed", 1, "`number` that all events follow from")
	set.StringVar(&o.dir, "dir", "", "`directory` for the databases, on the disk to measure (default: the system's temporary one)")
	set.StringVar(&o.json, "json", "docs/benchmarks/latest.json", "`file` for every figure, from the repository's root like the next two")
	set.StringVar(&o.markdown, "markdown", "docs/benchmarks.md", "`file` for the page")
	set.StringVar(&o.svg, "svg", "docs/benchmarks/latest.svg", "`file` for the picture")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	given := map[string]bool{}
	set.Visit(func(f *flag.Flag) { given[f.Name] = true })
	o.command = commandLine(set, o.compare)
	o.parts = strings.Split(*only, ",")
	var err error
	if o.quick {
		o.shorten(given, fractions)
	}
	if o.fractions, err = parseFractions(*fractions); err == nil {
		err = o.validate(set.Args())
	}
	if err != nil {
		fmt.Fprintf(output, "load: %v\nload: `go run . -help` explains the flags\n", err)
	}
	return o, err
}

// shorten makes tiny everything that wasn't asked for.
func (o *options) shorten(given map[string]bool, fractions *string) {
	change(given, "rounds", &o.rounds, 1)
	change(given, "connections", &o.connections, 64)
	change(given, "duration", &o.duration, 800*time.Millisecond)
	change(given, "warm-up", &o.warmUp, 200*time.Millisecond)
	change(given, "fractions", fractions, "0.25,0.5,1.1")
	change(given, "rate-duration", &o.rateDuration, 600*time.Millisecond)
	change(given, "rate-warm-up", &o.rateWarmUp, 200*time.Millisecond)
	change(given, "batch-connections", &o.batchConnections, 4)
	change(given, "overload-connections", &o.overloadConnections, 256)
	change(given, "overload-duration", &o.overloadDuration, 7*time.Second)
	change(given, "json", &o.json, "load/results/quick.json")
	change(given, "markdown", &o.markdown, "load/results/quick.md")
	change(given, "svg", &o.svg, "load/results/quick.svg")
}

func change[T any](given map[string]bool, name string, value *T, to T) {
	if !given[name] {
		*value = to
	}
}

func parseFractions(text string) ([]float64, error) {
	var all []float64
	for part := range strings.SplitSeq(text, ",") {
		f, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil || f <= 0 || f > 10 {
			return nil, fmt.Errorf("-fractions: %q is not a number from 0 to 10", part)
		}
		all = append(all, f)
	}
	slices.Sort(all)
	return all, nil
}

func (o *options) validate(rest []string) error {
	if len(rest) > 0 {
		return fmt.Errorf("%q is no flag and no command", rest[0])
	}
	for _, part := range o.parts {
		if !slices.Contains(allParts, part) {
			return fmt.Errorf("-only: %q is no part; there are %s", part, strings.Join(allParts, ", "))
		}
	}
	for name, n := range map[string]int{
		"rounds": o.rounds, "connections": o.connections, "batch": o.batch, "batch-connections": o.batchConnections,
		"writers": o.writers, "overload-connections": o.overloadConnections,
	} {
		if n < 1 {
			return fmt.Errorf("-%s must be at least 1, not %d", name, n)
		}
	}
	for name, d := range map[string]time.Duration{
		"duration": o.duration, "rate-duration": o.rateDuration, "overload-duration": o.overloadDuration, "spread": o.spread,
	} {
		if d < 100*time.Millisecond {
			return fmt.Errorf("-%s must be at least 100ms, not %s", name, d)
		}
	}
	if o.batch > 5000 {
		return fmt.Errorf("-batch: the service takes at most 5000 events at once, not %d", o.batch)
	}
	labels := map[string]bool{"bare": true, "replica": true, "embedded": true, "": true}
	for _, b := range o.compare {
		if labels[b.label] {
			return fmt.Errorf("-compare: the label %q is taken: choose another", b.label)
		}
		labels[b.label] = true
	}
	return nil
}

func (o *options) has(part string) bool { return slices.Contains(o.parts, part) }

// commandLine tells how the program was called. Files are told by their names
// alone: where they are on this machine is nobody's business.
func commandLine(set *flag.FlagSet, compare []build) string {
	words := []string{"go run ."}
	set.Visit(func(f *flag.Flag) {
		value := f.Value.String()
		switch f.Name {
		case "compare":
			return // below
		case "binary", "dir", "json", "markdown", "svg":
			value = filepath.Base(value)
		}
		words = append(words, "-"+f.Name+"="+value)
	})
	for _, b := range compare {
		words = append(words, "-compare="+b.label+"="+filepath.Base(b.binary))
	}
	return strings.Join(words, " ")
}

func describeSettings(o *options) report.Settings {
	seconds := time.Duration.Seconds
	return report.Settings{
		Parts: o.parts, Rounds: o.rounds, Connections: o.connections, Duration: seconds(o.duration), WarmUp: seconds(o.warmUp),
		Fractions: o.fractions, RateDuration: seconds(o.rateDuration), RateWarmUp: seconds(o.rateWarmUp),
		Batch: o.batch, BatchConnections: o.batchConnections, Writers: o.writers,
		OverloadConnections: o.overloadConnections, OverloadDuration: seconds(o.overloadDuration),
		Users: o.users, Spread: seconds(o.spread), Seed: o.seed, RateLimit: unlimited, Postgres: durable, GivenBinary: o.binary != "",
	}
}
