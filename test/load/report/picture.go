package report

import (
	"bytes"
	"fmt"
	"image/color"
	"maps"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The picture's measures.
const (
	pictureWidth  = 24 * vg.Centimeter
	pictureHeight = 26 * vg.Centimeter
	padding       = 5 * vg.Millimeter
	lineWidth     = vg.Length(1.5)
)

// colors tell subjects apart, also for most of those who see few colors: Okabe
// and Ito's palette, without its yellow, which is hard to see on white.
var colors = []color.RGBA{
	{R: 0x00, G: 0x72, B: 0xb2, A: 0xff},
	{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff},
	{R: 0x00, G: 0x9e, B: 0x73, A: 0xff},
	{R: 0xcc, G: 0x79, B: 0xa7, A: 0xff},
	{R: 0xe6, G: 0x9f, B: 0x00, A: 0xff},
	{R: 0x56, G: 0xb4, B: 0xe9, A: 0xff},
	{A: 0xff},
}

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
	throughputs, latencies := newPlot(), newPlot()
	throughputs.Title.Text = "Throughput over the offered rate"
	throughputs.Y.Min = 0
	throughputs.Y.Label.Text = "events stored per second"
	latencies.Title.Text = "Latency over the offered rate, counted from when an event was due"
	latencies.Y.Label.Text = "latency in milliseconds (logarithmic)"
	latencies.Y.Scale, latencies.Y.Tick.Marker = plot.LogScale{}, decades{}
	if !d.Meaningful {
		throughputs.Title.Text += " (a quick run: these figures mean nothing)"
	}
	for i, name := range names(d.Rates) {
		shade := colors[i%len(colors)]
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

	// Whole powers of ten around all values, at least one apart.
	y := &latencies.Y
	y.Min = math.Pow10(int(math.Floor(math.Log10(y.Min))))
	y.Max = max(math.Pow10(int(math.Ceil(math.Log10(y.Max)))), 10*y.Min)

	canvas := vgsvg.New(pictureWidth, pictureHeight)
	whole := draw.New(canvas)
	whole.SetColor(color.White)
	whole.Fill(whole.Path())
	tiles := draw.Tiles{Rows: 2, Cols: 1, PadTop: padding, PadBottom: padding, PadLeft: padding, PadRight: padding, PadY: padding}
	for row, cells := range plot.Align([][]*plot.Plot{{throughputs}, {latencies}}, tiles, whole) {
		[]*plot.Plot{throughputs, latencies}[row].Draw(cells[0])
	}
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func newPlot() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.White
	p.X.Label.Text = "events offered per second"
	p.X.Min = 0
	p.X.Tick.Marker, p.Y.Tick.Marker = plainTicks{}, plainTicks{}
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.Padding = vg.Points(2)
	p.Add(plotter.NewGrid())
	return p
}

// plainTicks are the usual ones with the numbers written out: 20000, not 2e+04.
type plainTicks struct{}

// Ticks returns the ticks between two values.
func (plainTicks) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = strconv.FormatFloat(ticks[i].Value, 'f', -1, 64)
		}
	}
	return ticks
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

// decades are the ticks of a logarithmic axis: the powers of ten have labels.
type decades struct{}

// Ticks returns the ticks between two values.
func (decades) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for exponent := int(math.Floor(math.Log10(low))); math.Pow10(exponent) <= high; exponent++ {
		power := math.Pow10(exponent)
		for n := 1.0; n < 10; n++ {
			tick := plot.Tick{Value: n * power}
			if n == 1 {
				tick.Label = strconv.FormatFloat(power, 'f', -1, 64)
			}
			if tick.Value >= low && tick.Value <= high {
				ticks = append(ticks, tick)
			}
		}
	}
	return ticks
}

func addLine(p *plot.Plot, points plotter.XYs, shade color.Color, dashes []vg.Length) (*plotter.Line, error) {
	line, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return nil, err
	}
	line.Color, line.Width, line.Dashes = shade, lineWidth, dashes
	dots.Color, dots.Shape, dots.Radius = shade, draw.CircleGlyph{}, vg.Points(2)
	p.Add(line, dots)
	return line, nil
}
