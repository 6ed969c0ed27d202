package report

import (
	"fmt"
	"image/color"
	"maps"
	"slices"

	gonum "gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"highload.example/analytics/test/plot"
)

// The picture's measures.
const (
	pictureWidth  = 24 * vg.Centimeter
	pictureHeight = 26 * vg.Centimeter
	lineWidth     = vg.Length(1.5)
)

// percentiles are the lines of each subject.
var percentiles = []struct {
	name   string
	dashes []vg.Length
	of     func(Percentiles) float64
}{
	{"p50", nil, func(p Percentiles) float64 { return p.P50 }},
	{"p95", []vg.Length{vg.Points(6), vg.Points(3)}, func(p Percentiles) float64 { return p.P95 }},
	{"p99", []vg.Length{vg.Points(1.5), vg.Points(2.5)}, func(p Percentiles) float64 { return p.P99 }},
}

// WriteSVG draws throughput and latency over the offered rate. Without rates it
// draws nothing, and returns false.
func (d *Document) WriteSVG(file string) (drawn bool, err error) {
	if len(d.Rates) == 0 {
		return false, nil
	}
	text, err := d.picture()
	if err != nil {
		return false, fmt.Errorf("drawing %s: %w", file, err)
	}
	return true, WriteFile(file, text)
}

func (d *Document) picture() ([]byte, error) {
	throughputs, latencies := newPanel(), newPanel()
	throughputs.Title.Text = "Throughput over the offered rate"
	throughputs.Y.Min = 0
	throughputs.Y.Label.Text = "events stored per second"
	latencies.Title.Text = "Latency over the offered rate, counted from when an event was due"
	latencies.Y.Label.Text = "latency in milliseconds (logarithmic)"
	if !d.Meaningful {
		throughputs.Title.Text += " (a quick run: these figures mean nothing)"
	}
	for i, name := range names(d.Rates) {
		shade := plot.Color(i)
		points := d.curve(name, func(p *Phase) (float64, bool) { return p.EventsPerSecond, true })
		line, err := addLine(throughputs, points, shade, nil)
		if err != nil {
			return nil, fmt.Errorf("the throughput of %s: %w", name, err)
		}
		throughputs.Legend.Add(name, line)
		latencies.Legend.Add(name, line)
		for _, p := range percentiles {
			// A logarithm needs more than nothing; the histograms begin at 1 µs.
			points := d.curve(name, func(phase *Phase) (float64, bool) { return max(p.of(phase.Latency), 0.001), true })
			if _, err := addLine(latencies, points, shade, p.dashes); err != nil {
				return nil, fmt.Errorf("the latency of %s: %w", name, err)
			}
		}
	}
	for _, p := range percentiles {
		latencies.Legend.Add(p.name, &plotter.Line{LineStyle: draw.LineStyle{Color: color.Gray{Y: 0x40}, Width: lineWidth, Dashes: p.dashes}})
	}

	plot.LogarithmicY(latencies, latencies.Y.Min, latencies.Y.Max)
	return plot.SVG(pictureWidth, pictureHeight, throughputs, latencies)
}

// newPanel returns a panel over the offered rate.
func newPanel() *gonum.Plot {
	p := plot.New()
	p.X.Label.Text = "events offered per second"
	p.X.Min = 0
	p.Add(plotter.NewGrid())
	return p
}

// curve returns a subject's medians over the rates.
func (d *Document) curve(subject string, figure func(*Phase) (float64, bool)) plotter.XYs {
	var points plotter.XYs
	for _, fraction := range d.Settings.Fractions {
		at := atFraction(d.Rates, fraction)
		offered := slices.Collect(maps.Values(collect(at, subject, func(p *Phase) (float64, bool) { return p.Offered, true })))
		values := slices.Collect(maps.Values(collect(at, subject, figure)))
		if len(values) > 0 {
			points = append(points, plotter.XY{X: Median(offered), Y: Median(values)})
		}
	}
	return points
}

func addLine(p *gonum.Plot, points plotter.XYs, shade color.Color, dashes []vg.Length) (*plotter.Line, error) {
	line, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return nil, err
	}
	line.Color, line.Width, line.Dashes = shade, lineWidth, dashes
	dots.Color, dots.Shape, dots.Radius = shade, draw.CircleGlyph{}, vg.Points(2)
	p.Add(line, dots)
	return line, nil
}
