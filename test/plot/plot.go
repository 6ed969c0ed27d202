// Package plot is the style of the pictures that the programs in test/ draw, and writes them
// as SVG: panels one above the other, with their axes aligned.
package plot

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"math"
	"os"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// colors can be told apart by most people with color blindness: Okabe and Ito's palette,
// without its yellow, which is hard to see on white.
var colors = []color.RGBA{
	{R: 0x00, G: 0x72, B: 0xb2, A: 0xff},
	{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff},
	{R: 0x00, G: 0x9e, B: 0x73, A: 0xff},
	{R: 0xcc, G: 0x79, B: 0xa7, A: 0xff},
	{R: 0xe6, G: 0x9f, B: 0x00, A: 0xff},
	{R: 0x56, G: 0xb4, B: 0xe9, A: 0xff},
	{A: 0xff},
}

// Color returns the color of the line with an index. After seven lines they repeat.
func Color(index int) color.Color { return colors[index%len(colors)] }

// New returns a panel without a grid or data: white, with numbers written out on its axes,
// and its legend at the top left.
func New() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.White
	p.X.Tick.Marker, p.Y.Tick.Marker = plainTicks{}, plainTicks{}
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.Padding = vg.Points(2)
	return p
}

// LogarithmicY gives a panel a logarithmic axis over the whole decades that hold low and
// high, which are more than 0: at least one decade. It is called when all data is there.
func LogarithmicY(p *plot.Plot, low, high float64) {
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, decades{}
	p.Y.Min = math.Pow10(int(math.Floor(math.Log10(low))))
	p.Y.Max = max(math.Pow10(int(math.Ceil(math.Log10(high)))), 10*p.Y.Min)
}

// plainTicks are the default ones with the numbers written out: 20000, not 2e+04.
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

// decades are the ticks of a logarithmic axis: the powers of ten have labels.
type decades struct{}

// Ticks returns the ticks between two values.
func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
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

// padding is the space around and between panels.
const padding = 5 * vg.Millimeter

// SVG draws panels one above the other.
func SVG(width, height vg.Length, panels ...*plot.Plot) ([]byte, error) {
	if len(panels) == 0 {
		return nil, errors.New("a picture needs a panel")
	}
	rows := make([][]*plot.Plot, len(panels))
	for i, p := range panels {
		rows[i] = []*plot.Plot{p}
	}
	canvas := vgsvg.New(width, height)
	all := draw.New(canvas)
	all.SetColor(color.White)
	all.Fill(all.Path())
	tiles := draw.Tiles{Rows: len(panels), Cols: 1, PadTop: padding, PadBottom: padding, PadLeft: padding, PadRight: padding, PadY: padding}
	for i, cells := range plot.Align(rows, tiles, all) {
		panels[i].Draw(cells[0])
	}
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("drawing: %w", err)
	}
	return out.Bytes(), nil
}

// WriteSVG draws panels one above the other into a file that everyone may read.
func WriteSVG(file string, width, height vg.Length, panels ...*plot.Plot) error {
	text, err := SVG(width, height, panels...)
	if err == nil {
		err = os.WriteFile(file, text, 0o644) //nolint:gosec // a picture is for everyone
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}
