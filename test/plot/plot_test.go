package plot_test

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"highload.example/analytics/test/plot"
)

func TestWriteSVG(t *testing.T) {
	t.Parallel()
	linear, logarithmic := plot.New(), plot.New()
	linear.Title.Text, logarithmic.Title.Text = "above", "below"
	line, err := plotter.NewLine(plotter.XYs{{X: 0, Y: 3}, {X: 30_000, Y: 450}})
	if err != nil {
		t.Fatal(err)
	}
	line.Color = plot.Color(8) // more lines than colors
	linear.Add(line)
	logarithmic.Add(line)
	plot.LogarithmicY(logarithmic, logarithmic.Y.Min, logarithmic.Y.Max)
	if logarithmic.Y.Min != 1 || logarithmic.Y.Max != 1000 {
		t.Errorf("the axis goes from %g to %g", logarithmic.Y.Min, logarithmic.Y.Max)
	}
	file := filepath.Join(t.TempDir(), "picture.svg")
	if err := plot.WriteSVG(file, 10*vg.Centimeter, 10*vg.Centimeter, linear, logarithmic); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for decoder := xml.NewDecoder(strings.NewReader(string(text))); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("not XML: %v", err)
		}
	}
	for _, want := range []string{">above<", ">below<", ">20000<", ">1000<", ">10<"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s isn't in the picture", want)
		}
	}
}

func TestOneValueHasADecade(t *testing.T) {
	t.Parallel()
	p := plot.New()
	plot.LogarithmicY(p, 100, 100)
	if p.Y.Min != 100 || p.Y.Max != 1000 {
		t.Errorf("the axis goes from %g to %g", p.Y.Min, p.Y.Max)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	if _, err := plot.SVG(1, 1); err == nil {
		t.Error("nothing was drawn")
	}
	if err := plot.WriteSVG(filepath.Join(t.TempDir(), "missing", "picture.svg"), 100, 100, plot.New()); err == nil {
		t.Error("a file was written where it can't be")
	}
}
