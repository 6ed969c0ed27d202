package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/torture/check"
	"highload.example/analytics/test/torture/nemesis"
)

// report is what is known after a run.
type report struct {
	Mode     string        `json:"mode"`
	Seed     uint64        `json:"seed"`
	Duration time.Duration `json:"duration_ns"`
	Short    bool          `json:"short,omitempty"`    // one fault of each family, however long that took
	LeftOut  []string      `json:"left_out,omitempty"` // the faults that a short run leaves to longer ones
	Started  time.Time     `json:"started"`
	Seconds  float64       `json:"seconds"`

	Faults         map[string]int                  `json:"faults"`     // how often each was injected
	SlowRedis      int                             `json:"slow_redis"` // moments in which a replica got no answer from Redis in time
	DisksNotFilled bool                            `json:"disks_not_filled,omitempty"`
	Recovery       []recovery                      `json:"recovery"`
	Before         map[string]harness.ProcessStats `json:"before"`
	After          map[string]harness.ProcessStats `json:"after"`
	Connections    string                          `json:"connections,omitempty"` // at rest
	Check          *check.Report                   `json:"check"`
	// Problems are what else was found wrong.
	Problems []string         `json:"problems,omitempty"`
	Steps    []nemesis.Result `json:"steps"`
}

// recovery is how long the service was away after a fault was repaired.
type recovery struct {
	Fault  string        `json:"fault"`
	Times  int           `json:"times"`
	Median time.Duration `json:"median_ns"` // until the first success
	Most   time.Duration `json:"most_ns"`
	All    time.Duration `json:"all_ns"` // the most until every replica had one
}

func (r *report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// add takes the nemesis's steps in.
func (r *report) add(steps []nemesis.Result) {
	r.Steps = steps
	firsts := map[string][]time.Duration{}
	alls := map[string]time.Duration{}
	for _, s := range steps {
		r.Faults[s.Fault]++
		if s.Also != "" {
			r.Faults[s.Also]++
		} else {
			// Of two at once it isn't known which one it was.
			firsts[s.Fault] = append(firsts[s.Fault], s.First)
			alls[s.Fault] = max(alls[s.Fault], s.All)
		}
		if s.Late {
			r.problem("step %d, %s: not every replica took events until %s after the repair; %s are allowed", s.Number, s.Step, s.All.Round(time.Millisecond), recoveryBound)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(firsts)) {
		slices.Sort(firsts[name])
		n := len(firsts[name])
		r.Recovery = append(r.Recovery, recovery{Fault: name, Times: n, Median: firsts[name][n/2], Most: firsts[name][n-1], All: alls[name]})
	}
}

func (r *report) injected() (n int) {
	for _, times := range r.Faults {
		n += times
	}
	return n
}

func (r *report) violations() (n int64) {
	for _, times := range r.Check.Found {
		n += times
	}
	return n + int64(len(r.Problems))
}

// write writes report.json and report.md, and prints the summary. Its error says that a
// promise was broken.
func (r *report) write(dir string, output io.Writer) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "report.json"), append(text, '\n'), 0o600),
		os.WriteFile(filepath.Join(dir, "report.md"), []byte(r.markdown()), 0o600),
	); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	fmt.Fprint(output, "\n"+r.summary())
	fmt.Fprintf(output, "written: %s\n", filepath.Join(dir, "report.md"))
	if n := r.violations(); n > 0 {
		short := ""
		if r.Short {
			short = " --short"
		}
		return fmt.Errorf("%d violations: run it again with --mode %s --seed %d%s", n, r.Mode, r.Seed, short)
	}
	return nil
}

func (r *report) summary() string {
	var b strings.Builder
	c := r.Check
	fmt.Fprintf(&b, "%s, seed %d: %d faults of %d kinds in %d steps, %d operations, %d events sent (%d different), %d rows, %d counts checked\n",
		r.Mode, r.Seed, r.injected(), len(r.Faults), len(r.Steps), c.Operations, c.Sent, c.Events, c.Rows, c.ReadCounts+c.RestCounts)
	for _, o := range slices.Sorted(maps.Keys(c.Outcomes)) {
		fmt.Fprintf(&b, "  %-10s %d\n", o, c.Outcomes[o])
	}
	if slow := r.slowest(); slow != nil {
		fmt.Fprintf(&b, "slowest return: %s after %s\n", slow.Most.Round(time.Millisecond), slow.Fault)
	}
	if r.DisksNotFilled {
		b.WriteString("NOT DONE: no disk was filled: mounting small ones takes root\n")
	}
	if r.Short {
		fmt.Fprintf(&b, "LEFT TO LONGER RUNS: faults that overlap, and %d faults: %s\n", len(r.LeftOut), strings.Join(r.LeftOut, ", "))
	}
	if r.violations() == 0 {
		b.WriteString("violations: none\n")
		return b.String()
	}
	fmt.Fprintf(&b, "VIOLATIONS: %d\n", r.violations())
	for _, rule := range slices.Sorted(maps.Keys(c.Found)) {
		fmt.Fprintf(&b, "  %-16s %d\n", rule, c.Found[rule])
	}
	for _, v := range c.Violations {
		fmt.Fprintf(&b, "%s\n", v)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "%s\n", p)
	}
	return b.String()
}

func (r *report) slowest() *recovery {
	if len(r.Recovery) == 0 {
		return nil
	}
	slow := slices.MaxFunc(r.Recovery, func(a, b recovery) int { return cmp.Compare(a.Most, b.Most) })
	return &slow
}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Fault injection: %s, seed %d\n\n%s, %.0f s in all.\n\n```\n%s```\n", r.Mode, r.Seed, r.Started.Format(time.DateTime), r.Seconds, r.summary())
	b.WriteString("\n## Faults and recovery\n\nFrom the repair to the first event that was accepted, and until every replica had accepted one. Faults that overlapped another one are counted, not timed.\n\n| fault | injected | timed | median | most | everywhere |\n| --- | --- | --- | --- | --- | --- |\n")
	timed := map[string]recovery{}
	for _, t := range r.Recovery {
		timed[t.Fault] = t
	}
	for _, name := range slices.Sorted(maps.Keys(r.Faults)) {
		t, ok := timed[name]
		if !ok {
			fmt.Fprintf(&b, "| %s | %d | 0 | | | |\n", name, r.Faults[name])
			continue
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s | %s |\n", name, r.Faults[name], t.Times,
			t.Median.Round(time.Millisecond), t.Most.Round(time.Millisecond), t.All.Round(time.Millisecond))
	}
	b.WriteString("\n## What the processes hold, at rest\n\n| process | before | after |\n| --- | --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(r.Before)) {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, r.Before[name], r.After[name])
	}
	if r.Connections != "" {
		fmt.Fprintf(&b, "\nConnections at rest: %s.\n", r.Connections)
	}
	return b.String()
}

func firstLines(text string, n int) string {
	lines := strings.SplitAfterN(text, "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], "")
}
