package main

import (
	"errors"
	"fmt"
	"time"
)

// The stores.
const (
	postgres = "PostgreSQL"
	sqlite   = "SQLite"
)

const description = `Measures what queries cost, on PostgreSQL and on SQLite: counts over many events next to counts over few, and queries and an export next to hand-written SQL on the same tables. It fails when two results differ.

It needs Linux, PostgreSQL (with its contrib modules) and Redis (the programs, not running servers), some 6 GB for each 10 million events, and wants the machine for itself.`

// options are the flags.
type options struct {
	Quick  bool      `help:"Check in about a minute that everything works and that all results are the same. The figures mean nothing, and no page in docs/ is written."`
	Stores []string  `default:"postgres,sqlite" enum:"postgres,sqlite" help:"Stores to measure, with commas."`
	Count  int       `default:"10000000" quick:"50000" help:"Number of events."`
	Small  int       `default:"10000" quick:"5000" help:"Number of events of the small database that counts are compared with."`
	Users  int       `default:"200000" quick:"50" help:"Number of users, of whom few are busy. Of few some reach the end of a funnel."`
	Seed   uint64    `default:"1" help:"All events follow from it."`
	End    time.Time `placeholder:"2026-11-23T00:00:00Z" help:"Time of the last event. Default: that of the events in --data, or some two hours ago."`
	Rounds int       `default:"5" quick:"2" help:"Number of rounds. In each all that is compared takes turns, and the medians are reported."`

	CountAsks int `default:"60" quick:"10" help:"How often each count is requested in a round."`
	QueryAsks int `default:"3" quick:"1" help:"How often each query is sent in a round."`

	Data string `type:"path" private:"" placeholder:"DIR" help:"Directory for the databases, on the disk to measure. Those of an earlier run are used again if they have the same seed and counts. Default: a temporary one."`
	Keep bool   `help:"Leave the databases in --data for the next run."`

	JSON     string `name:"json" default:"test/results/queries.json" quick:"test/results/queries-quick.json" private:"" help:"File for every figure, from the repository's root like the next two."`
	Markdown string `default:"docs/benchmarks/queries.md" quick:"test/results/queries-quick.md" private:"" help:"File for the page."`
	Explain  string `default:"test/results/queries-explain.txt" quick:"test/results/queries-quick-explain.txt" private:"" help:"File for what EXPLAIN (ANALYZE, BUFFERS) says of PostgreSQL's statements."`
}

// Validate checks the flags.
func (o *options) Validate() error {
	for name, n := range map[string]int{
		"count": o.Count, "small": o.Small, "users": o.Users, "rounds": o.Rounds, "count-asks": o.CountAsks, "query-asks": o.QueryAsks,
	} {
		if n < 1 {
			return fmt.Errorf("--%s must be at least 1, not %d", name, n)
		}
	}
	if len(o.Stores) > 1 && o.Stores[0] == o.Stores[1] || len(o.Stores) > len(storeNames) {
		return fmt.Errorf("--stores: %v: write postgres, sqlite or postgres,sqlite", o.Stores)
	}
	if o.Keep && o.Data == "" {
		return errors.New("--keep needs --data, the directory to leave the databases in")
	}
	return nil
}

var storeNames = map[string]string{"postgres": postgres, "sqlite": sqlite}

// stores returns the names of the stores as reports have them.
func (o *options) stores() []string {
	names := make([]string, len(o.Stores))
	for i, name := range o.Stores {
		names[i] = storeNames[name]
	}
	return names
}
