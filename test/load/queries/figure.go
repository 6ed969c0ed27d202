package main

import (
	"fmt"
	"slices"

	"highload.example/analytics/test/load/report"
)

// figure is one thing that was found out about a store.
type figure struct {
	Name  string   `json:"name"`
	Store string   `json:"store"`
	Unit  string   `json:"unit"`  // empty: a ratio
	Below bool     `json:"below"` // less is better
	Goal  *float64 `json:"goal"`  // nil: none
	// Value is the median over the rounds, Low and High are its range.
	Value   float64        `json:"value"`
	Low     float64        `json:"low"`
	High    float64        `json:"high"`
	Verdict report.Verdict `json:"verdict"`           // empty: there is no goal, or the run means nothing
	Against string         `json:"against,omitempty"` // the quickest hand-written statement
	Parties []measured     `json:"parties,omitempty"`
}

// measured is what one party took.
type measured struct {
	Label  string    `json:"label"`
	Loose  bool      `json:"loose,omitempty"`
	SQL    string    `json:"sql,omitempty"`
	Rounds []float64 `json:"rounds_ms"`
}

func bound(v float64) *float64 { return &v }

// values sets the value and its range.
func (f *figure) values(rounds []float64) {
	f.Value, f.Low, f.High = report.Median(rounds), slices.Min(rounds), slices.Max(rounds)
}

// ratio sets them to what one party took by what another took in the same round.
func (f *figure) ratio(of, by []float64) {
	ratios := make([]float64, len(of))
	for i := range of {
		ratios[i] = of[i] / by[i]
	}
	f.values(ratios)
}

// best returns the hand-written statement, strict or loose, that was the quickest over all rounds; 0 if
// there is none.
func (f *figure) best(loose bool) int {
	best := 0
	for i, p := range f.Parties {
		if i > 0 && p.Loose == loose && (best == 0 || report.Median(p.Rounds) < report.Median(f.Parties[best].Rounds)) {
			best = i
		}
	}
	return best
}

// judge says whether the goal was reached, if there is one.
func (f *figure) judge() {
	switch {
	case f.Goal == nil:
	case f.Below && f.Value <= *f.Goal, !f.Below && f.Value >= *f.Goal:
		f.Verdict = report.Reached
	default:
		f.Verdict = report.Missed
	}
}

// text is the value with its range.
func (f *figure) text() string {
	text := report.Number(f.Value)
	if f.Low != f.High {
		text += fmt.Sprintf(" (%s to %s)", report.Number(f.Low), report.Number(f.High))
	}
	if f.Unit != "" {
		text += " " + f.Unit
	}
	return text
}

// goal is what was to be reached.
func (f *figure) goal() string {
	switch {
	case f.Goal == nil:
		return ""
	case f.Below:
		return "≤ " + report.Number(*f.Goal)
	}
	return "≥ " + report.Number(*f.Goal)
}
