package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/load/report"
)

// serverWriters is how many writers the product has, pgWriters in
// impl/app/deployment.go, which a test compares this with.
const serverWriters = 2

const description = `Measures the product on this machine, next to a bare net/http server and a bare loop of inserts, and checks that every accepted event is stored exactly once.

It needs Linux, PostgreSQL and Redis (the programs, not running servers), takes about a quarter of an hour, and wants the machine for itself.`

// options are the flags.
type options struct {
	Quick   bool     `help:"Check in under a minute that everything works. The figures mean nothing, and no page in docs/ is written."`
	Only    []string `default:"saturation,rates,batches" enum:"saturation,rates,batches" help:"Parts to run, with commas. Rates also measure saturation once: they are shares of it."`
	Rounds  int      `default:"3" quick:"1" help:"Number of rounds. In each every subject has its turn, and the medians are reported."`
	Binary  string   `type:"existingfile" private:"" placeholder:"FILE" help:"The product's program. Default: built from this repository."`
	Compare []build  `sep:"none" placeholder:"LABEL=FILE" help:"Another build of the product to measure in the same run. May be repeated."`

	Connections int           `default:"512" quick:"64" help:"Number of connections for saturation and rates."`
	Duration    time.Duration `default:"8s" quick:"800ms" help:"How long saturation and batches are measured in each round."`
	WarmUp      time.Duration `default:"2s" quick:"200ms" help:"How long they run before, unmeasured."`

	Fractions    []float64     `default:"0.1,0.25,0.5,0.7,0.85,0.95,1.1" quick:"0.5,1.1" help:"Rates as shares of saturation, with commas. The goals need 0.5."`
	RateDuration time.Duration `default:"6s" quick:"600ms" help:"How long each rate is measured in each round."`
	RateWarmUp   time.Duration `default:"1s" quick:"200ms" help:"How long each rate runs before, unmeasured."`

	Batch            int `default:"1000" help:"Number of events in a batch, at most 5000."`
	BatchConnections int `default:"16" quick:"4" help:"Number of connections that send batches."`
	Writers          int `default:"2" help:"Number of connections of the loop of inserts: as many as the server has writers."`

	Users  int64         `default:"200000" help:"Number of users."`
	Spread time.Duration `default:"10s" help:"How long before it is sent an event may have happened."`
	Seed   uint64        `default:"1" help:"All events follow from it."`

	Dir      string `type:"existingdir" private:"" placeholder:"DIR" help:"Where the databases are made, on the disk to measure. Default: where temporary files are."`
	JSON     string `name:"json" default:"test/results/load.json" quick:"test/results/load-quick.json" private:"" help:"File for every figure, from the repository's root like the next two."`
	Markdown string `default:"docs/benchmarks.md" quick:"test/results/load-quick.md" private:"" help:"File for the page."`
	SVG      string `name:"svg" default:"docs/benchmarks/latest.svg" quick:"test/results/load-quick.svg" private:"" help:"File for the picture."`
}

// build is another build of the product, to compare with.
type build struct{ label, binary string }

// UnmarshalText reads LABEL=FILE.
func (b *build) UnmarshalText(text []byte) error {
	label, file, found := strings.Cut(string(text), "=")
	if !found || label == "" || file == "" {
		return errors.New("write LABEL=FILE")
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return fmt.Errorf("finding %s: %w", file, err)
	}
	*b = build{label: label, binary: file}
	return nil
}

// String shows the file's name alone.
func (b build) String() string { return b.label + "=" + filepath.Base(b.binary) }

// Validate checks the flags.
func (o *options) Validate() error {
	for name, n := range map[string]int{
		"rounds": o.Rounds, "connections": o.Connections, "batch": o.Batch, "batch-connections": o.BatchConnections, "writers": o.Writers,
	} {
		if n < 1 {
			return fmt.Errorf("--%s must be at least 1, not %d", name, n)
		}
	}
	for name, d := range map[string]time.Duration{"duration": o.Duration, "rate-duration": o.RateDuration, "spread": o.Spread} {
		if d < 100*time.Millisecond {
			return fmt.Errorf("--%s must be at least 100ms, not %s", name, d)
		}
	}
	if o.Batch > 5000 {
		return fmt.Errorf("--batch: the service takes at most 5000 events at once, not %d", o.Batch)
	}
	for _, f := range o.Fractions {
		if f <= 0 || f > 10 {
			return fmt.Errorf("--fractions: %g is not above 0 and at most 10", f)
		}
	}
	slices.Sort(o.Fractions)
	labels := map[string]bool{report.Baseline: true, report.Replica: true, report.Embedded: true}
	for _, b := range o.Compare {
		if labels[b.label] {
			return fmt.Errorf("--compare: the label %q is taken: choose another", b.label)
		}
		labels[b.label] = true
	}
	return nil
}

// results names the file with every figure as the page does.
func (o *options) results() string {
	if filepath.IsAbs(o.JSON) {
		return filepath.Base(o.JSON)
	}
	return o.JSON
}

func (o *options) has(part string) bool { return slices.Contains(o.Only, part) }

func describeSettings(o *options) report.Settings {
	seconds := time.Duration.Seconds
	return report.Settings{
		Parts: o.Only, Rounds: o.Rounds, Connections: o.Connections, Duration: seconds(o.Duration), WarmUp: seconds(o.WarmUp),
		Fractions: o.Fractions, RateDuration: seconds(o.RateDuration), RateWarmUp: seconds(o.RateWarmUp),
		Batch: o.Batch, BatchConnections: o.BatchConnections, Writers: o.Writers,
		Users: o.Users, Spread: seconds(o.Spread), Seed: o.Seed, RateLimit: harness.UnlimitedRate, Postgres: durable, GivenBinary: o.Binary != "",
	}
}
