package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Goal is one line of the table of goals.
type Goal struct {
	Name   string   `json:"name"`
	Part   string   `json:"part"`
	Unit   string   `json:"unit"`
	Below  bool     `json:"below"` // to be reached from above: less is better
	Goal   float64  `json:"goal"`
	Better *float64 `json:"better"` // nil: there is no more to be had
	// Measured has a value for this build, under "", and for every other by its
	// label.
	Measured map[string]Measured `json:"measured"`
}

// Measured is one build's value of a goal.
type Measured struct {
	Verdict Verdict `json:"verdict"`
	// Value is the median over the rounds, Low and High are its range. They mean
	// nothing unless Rounds is at least 1.
	Value  float64 `json:"value"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Rounds int     `json:"rounds"`
}

// Verdict says whether a goal was reached.
type Verdict string

// The verdicts.
const (
	ReachedBetter Verdict = "better reached"
	Reached       Verdict = "reached"
	Missed        Verdict = "missed"
	NotMeasured   Verdict = "not measured"
	VerdictAbsent Verdict = "not there"
)

// half is the share of saturation at which the latency is judged.
const half = 0.5

// Judge fills in the goals.
func (d *Document) Judge() {
	d.Goals = []Goal{
		d.ratio("throughput of single events, replica / baseline", PartSaturation, Replica, Baseline, throughput, false, 0.45, 0.6),
		d.ratio("CPU of the server per event, replica / baseline", PartSaturation, Replica, Baseline, serverCPU, true, 1.8, 1.4),
		d.ratio("throughput of single events, embedded / baseline", PartSaturation, Embedded, Baseline, throughput, false, 0.6, 0.75),
		d.ratio("throughput in batches, replica / pgx alone", PartBatches, Replica, PgxAlone, throughput, false, 0.75, 0.9),
	}
	for _, mode := range []string{Replica, Embedded} {
		d.Goals = append(d.Goals,
			d.plain("p95 at half of saturation, "+mode, "ms", PartRates, mode, atHalf(func(p Percentiles) float64 { return p.P95 }), 10, bound(4)),
			d.plain("p99 at half of saturation, "+mode, "ms", PartRates, mode, atHalf(func(p Percentiles) float64 { return p.P99 }), 25, bound(10)),
		)
	}
	share := func(p *Phase) (float64, bool) { return p.Share5xx * 100, true }
	d.Goals = append(d.Goals,
		d.plain("share of 5xx at saturation, replica", "%", PartSaturation, Replica, share, 0, nil),
		d.plain("share of 5xx at saturation, embedded", "%", PartSaturation, Embedded, share, 0, nil),
	)
}

func bound(v float64) *float64 { return &v }

func throughput(p *Phase) (float64, bool) { return p.EventsPerSecond, p.EventsPerSecond > 0 }

func serverCPU(p *Phase) (float64, bool) {
	if p.CPU.Server == nil || *p.CPU.Server <= 0 {
		return 0, false
	}
	return *p.CPU.Server, true
}

func atHalf(of func(Percentiles) float64) func(*Phase) (float64, bool) {
	return func(p *Phase) (float64, bool) { return of(p.Latency), math.Abs(p.Fraction-half) < 1e-9 }
}

// labels returns every build's, this one's first.
func (d *Document) labels() []string { return append([]string{""}, d.Builds...) }

func (d *Document) phases(part string) []Phase {
	switch part {
	case PartRates:
		return d.Rates
	case PartBatches:
		return d.Batches
	}
	return d.Saturation
}

// SubjectName returns the name of a build's subject.
func SubjectName(label, mode string) string {
	if label == "" {
		return mode
	}
	return label + " " + mode
}

// ratio judges a figure of a subject by what another one has in the same round.
// The baselines are the same for every build.
func (d *Document) ratio(name, part, mode, baseline string, figure func(*Phase) (float64, bool), below bool, goal, better float64) Goal {
	phases := d.phases(part)
	g := Goal{Name: name, Part: part, Below: below, Goal: goal, Better: &better, Measured: map[string]Measured{}}
	unit := collect(phases, baseline, figure)
	for _, label := range d.labels() {
		subject := SubjectName(label, mode)
		var ratios []float64
		for round, value := range collect(phases, subject, figure) {
			if by, ok := unit[round]; ok {
				ratios = append(ratios, value/by)
			}
		}
		g.Measured[label] = d.measured(&g, subject, ratios)
	}
	return g
}

// plain judges a figure of a subject as it is; less is better.
func (d *Document) plain(name, unit, part, mode string, figure func(*Phase) (float64, bool), goal float64, better *float64) Goal {
	phases := d.phases(part)
	g := Goal{Name: name, Part: part, Unit: unit, Below: true, Goal: goal, Better: better, Measured: map[string]Measured{}}
	for _, label := range d.labels() {
		subject := SubjectName(label, mode)
		g.Measured[label] = d.measured(&g, subject, slices.Collect(maps.Values(collect(phases, subject, figure))))
	}
	return g
}

func (d *Document) measured(g *Goal, subject string, values []float64) Measured {
	if len(values) == 0 {
		for _, n := range d.NotThere {
			if n.Subject == subject && n.Part == g.Part {
				return Measured{Verdict: VerdictAbsent}
			}
		}
		return Measured{Verdict: NotMeasured}
	}
	m := Measured{Value: Median(values), Low: slices.Min(values), High: slices.Max(values), Rounds: len(values)}
	// A goal of nothing at all isn't reached by nothing most of the time.
	judged := m.Value
	if g.Goal == 0 {
		judged = m.High
	}
	m.Verdict = g.verdict(judged)
	return m
}

// verdict judges a value.
func (g *Goal) verdict(value float64) Verdict {
	reaches := func(bound float64) bool {
		switch {
		case math.IsNaN(value):
			return false
		case g.Below:
			return value <= bound
		}
		return value >= bound
	}
	switch {
	case g.Better != nil && reaches(*g.Better):
		return ReachedBetter
	case reaches(g.Goal):
		return Reached
	}
	return Missed
}

// Summary is the table of goals for a terminal.
func (d *Document) Summary() string {
	var text strings.Builder
	if !d.Meaningful {
		text.WriteString("A quick run: THESE FIGURES MEAN NOTHING.\n\n")
	}
	for _, label := range d.labels() {
		if len(d.Builds) > 0 {
			name := label
			if name == "" {
				name = "this build"
			}
			fmt.Fprintf(&text, "%s:\n", name)
		}
		for i := range d.Goals {
			g := &d.Goals[i]
			m := g.Measured[label]
			value := ""
			if m.Rounds > 0 {
				value = strings.TrimSpace(Number(m.Value) + " " + g.Unit)
			}
			fmt.Fprintf(&text, "  %-76s %10s  (goal %s) %s\n", g.Name, value, g.bound(g.Goal), m.Verdict)
		}
	}
	return text.String()
}
