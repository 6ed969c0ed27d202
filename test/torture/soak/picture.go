package soak

import (
	"fmt"
	"image/color"
	"maps"
	"math"
	"slices"

	gonum "gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/plot"
)

// Mark is something that was done to the run.
type Mark struct {
	From, To float64 // seconds since the run's start
	Name     string
}

// The picture's measures.
const (
	pictureWidth = 26 * vg.Centimeter
	panelHeight  = 6 * vg.Centimeter
	lineWidth    = vg.Length(1.2)
)

// shade is behind the lines while a fault lasts.
var shade = color.RGBA{R: 0xec, G: 0xec, B: 0xec, A: 0xff}

// Picture is what is drawn, one panel above the other, over the same time.
type Picture struct {
	Title     string
	Samples   []Sample
	Latencies []Latency
	Marks     []Mark
}

// WriteSVG draws it.
func (p *Picture) WriteSVG(file string) error {
	panels, err := p.panels()
	if err != nil {
		return fmt.Errorf("drawing %s: %w", file, err)
	}
	return plot.WriteSVG(file, pictureWidth, panelHeight*vg.Length(len(panels)), panels...)
}

func (p *Picture) panels() ([]*gonum.Plot, error) {
	if len(p.Samples) < 2 {
		return nil, fmt.Errorf("%d samples are no run", len(p.Samples))
	}
	end := p.Samples[len(p.Samples)-1].At
	for _, l := range p.Latencies {
		end = max(end, l.At)
	}
	names := map[string]bool{}
	for _, s := range p.Samples {
		for name := range s.Processes {
			names[name] = true
		}
	}
	processes := slices.Sorted(maps.Keys(names))

	series := func(name string, figure func(Sample) (float64, bool)) line {
		l := line{name: name}
		for _, s := range p.Samples {
			if y, there := figure(s); there {
				l.points = append(l.points, plotter.XY{X: s.At / 60, Y: y})
			} else {
				l.points = append(l.points, plotter.XY{X: s.At / 60, Y: math.NaN()})
			}
		}
		return l
	}
	figures := func(figure func(harness.ProcessStats) (value, unknown float64)) (lines []line) {
		for _, name := range processes {
			lines = append(lines, series(name, func(s Sample) (float64, bool) {
				r, there := s.Processes[name]
				if !there {
					return 0, false
				}
				y, unknown := figure(r)
				return y, y != unknown
			}))
		}
		return lines
	}
	var drifts []line
	for _, name := range processes {
		drifts = append(drifts, series(name, func(s Sample) (float64, bool) {
			d, there := s.Drift[name]
			return float64(d), there
		}))
	}
	p50, p99, served := line{name: "p50"}, line{name: "p99"}, line{name: "served"}
	others := line{name: "not served"}
	for i, l := range p.Latencies {
		x := l.At / 60
		if l.Served > 0 { // a logarithm needs more than nothing
			p50.points = append(p50.points, plotter.XY{X: x, Y: max(l.P50, 0.01)})
			p99.points = append(p99.points, plotter.XY{X: x, Y: max(l.P99, 0.01)})
		} else {
			p50.points = append(p50.points, plotter.XY{X: x, Y: math.NaN()})
			p99.points = append(p99.points, plotter.XY{X: x, Y: math.NaN()})
		}
		period := 1.0
		if i > 0 {
			period = l.At - p.Latencies[i-1].At
		} else if len(p.Latencies) > 1 {
			period = p.Latencies[1].At - l.At
		}
		served.points = append(served.points, plotter.XY{X: x, Y: float64(l.Served) / period})
		others.points = append(others.points, plotter.XY{X: x, Y: float64(l.Others) / period})
	}

	panels := []panel{
		{title: "Memory", unit: "MiB (RSS)", lines: figures(func(r harness.ProcessStats) (float64, float64) { return float64(r.RSS) / (1 << 20), -1. / (1 << 20) })},
		{title: "Goroutines", unit: "goroutines", lines: figures(func(r harness.ProcessStats) (float64, float64) { return float64(r.Goroutines), -1 })},
		{title: "Descriptors", unit: "open descriptors", lines: figures(func(r harness.ProcessStats) (float64, float64) { return float64(r.Descriptors), -1 })},
		{title: "Requests", unit: "requests per second", lines: []line{served, others}},
		{title: "Latency of those that were served", unit: "milliseconds (logarithmic)", lines: []line{p50, p99}, logarithmic: true},
		{title: "Counts compared with rows: 0 is right", unit: "events", lines: drifts, around: true},
	}
	panels[0].title = p.Title + "\n\nMemory"
	panels[len(panels)-1].last = true

	plots := make([]*gonum.Plot, len(panels))
	for i, panel := range panels {
		var err error
		if plots[i], err = panel.plot(end/60, p.Marks); err != nil {
			return nil, err
		}
	}
	return plots, nil
}

// line is a curve; where its value isn't a number, it has a gap.
type line struct {
	name   string
	points plotter.XYs
}

// pieces cuts a line at its gaps.
func (l line) pieces() (pieces []plotter.XYs) {
	var piece plotter.XYs
	for _, point := range l.points {
		if math.IsNaN(point.Y) {
			if len(piece) > 0 {
				pieces = append(pieces, piece)
			}
			piece = nil
			continue
		}
		piece = append(piece, point)
	}
	if len(piece) > 0 {
		pieces = append(pieces, piece)
	}
	return pieces
}

type panel struct {
	title, unit string
	lines       []line
	logarithmic bool
	around      bool // zero is in the middle
	last        bool // at the bottom, where the time is named
}

func (p panel) plot(end float64, marks []Mark) (*gonum.Plot, error) {
	drawn := plot.New()
	drawn.Title.Text = p.title
	drawn.Y.Label.Text = p.unit
	if p.last {
		drawn.X.Label.Text = "minutes (grey: something is broken)"
	}

	// 1. How high it is, which the faults' shades must fill and not stretch.
	low, high := math.Inf(1), math.Inf(-1)
	for _, l := range p.lines {
		for _, point := range l.points {
			if !math.IsNaN(point.Y) {
				low, high = min(low, point.Y), max(high, point.Y)
			}
		}
	}
	if math.IsInf(high, -1) {
		low, high = 1, 1 // no data: any range, but one that has a logarithm
	}
	switch {
	case p.logarithmic:
		plot.LogarithmicY(drawn, low, high)
		low, high = drawn.Y.Min, drawn.Y.Max
	case p.around:
		most := max(10, -low, high) * 1.1
		low, high = -most, most
	default:
		low, high = 0, max(high*1.5, 1) // room for the legend
	}

	// 2. What was broken, behind everything.
	for _, m := range marks {
		from, to := m.From/60, max(m.To/60, m.From/60+end/500)
		box, err := plotter.NewPolygon(plotter.XYs{{X: from, Y: low}, {X: to, Y: low}, {X: to, Y: high}, {X: from, Y: high}})
		if err != nil {
			return nil, fmt.Errorf("marking %s: %w", m.Name, err)
		}
		box.Color, box.Width = shade, 0
		drawn.Add(box)
	}
	drawn.Add(plotter.NewGrid())

	// 3. The lines.
	for i, l := range p.lines {
		style := draw.LineStyle{Color: plot.Color(i), Width: lineWidth}
		for _, piece := range l.pieces() {
			if len(piece) == 1 { // between two gaps
				piece = append(piece, plotter.XY{X: piece[0].X + end/1000, Y: piece[0].Y})
			}
			curve, err := plotter.NewLine(piece)
			if err != nil {
				return nil, fmt.Errorf("drawing %s of %s: %w", l.name, p.title, err)
			}
			curve.LineStyle = style
			drawn.Add(curve)
		}
		drawn.Legend.Add(l.name, &plotter.Line{LineStyle: style})
	}
	drawn.X.Min, drawn.X.Max, drawn.Y.Min, drawn.Y.Max = 0, end, low, high
	return drawn, nil
}
