package main

import (
	"fmt"
	"slices"
	"strconv"

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
	Against string         `json:"against,omitempty"` // the quickest by hand
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
	f.Value, f.Low, f.High = median(rounds), slices.Min(rounds), slices.Max(rounds)
}

// ratio sets them to what one party took by what another took in the same round.
func (f *figure) ratio(of, by []float64) {
	ratios := make([]float64, len(of))
	for i := range of {
		ratios[i] = of[i] / by[i]
	}
	f.values(ratios)
}

// best returns the party by hand, strict or loose, that was the quickest over all rounds; 0 if
// there is none.
func (f *figure) best(loose bool) int {
	best := 0
	for i, p := range f.Parties {
		if i > 0 && p.Loose == loose && (best == 0 || median(p.Rounds) < median(f.Parties[best].Rounds)) {
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
	text := number(f.Value)
	if f.Low != f.High {
		text += fmt.Sprintf(" (%s to %s)", number(f.Low), number(f.High))
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
		return "≤ " + number(*f.Goal)
	}
	return "≥ " + number(*f.Goal)
}

// number writes a figure with about three digits.
func number(v float64) string {
	digits := 2
	switch {
	case v >= 100:
		digits = 0
	case v >= 10:
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// median returns the middle value, or the mean of the two in the middle. There must be one.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}
