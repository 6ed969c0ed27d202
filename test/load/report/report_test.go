package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"highload.example/analytics/test/load/generator"
)

func TestVerdicts(t *testing.T) {
	t.Parallel()
	better := func(v float64) *float64 { return &v }
	atLeast := Goal{Goal: 0.45, Better: better(0.6)}
	atMost := Goal{Goal: 1.8, Better: better(1.4), Below: true}
	none := Goal{Goal: 0, Below: true}
	for _, c := range []struct {
		goal  Goal
		value float64
		want  Verdict
	}{
		{atLeast, 0.449, Missed},
		{atLeast, 0.45, Reached},
		{atLeast, 0.599, Reached},
		{atLeast, 0.6, ReachedBetter},
		{atLeast, math.NaN(), Missed},
		{atMost, 1.81, Missed},
		{atMost, 1.8, Reached},
		{atMost, 1.4, ReachedBetter},
		{atMost, math.NaN(), Missed},
		{none, 0, Reached},
		{none, 0.001, Missed},
	} {
		if got := c.goal.verdict(c.value); got != c.want {
			t.Errorf("%v of %+v: %s, not %s", c.value, c.goal, got, c.want)
		}
	}
}

// phase is a turn with round figures.
func phase(subject string, round int, perSecond, server float64) Phase {
	p := Phase{
		Subject: subject, Round: round, Seconds: 1, Events: int64(perSecond), EventsPerSecond: perSecond,
		Statuses: map[string]int64{"202": int64(perSecond)}, Latency: Percentiles{P50: 1, P90: 2, P95: 3, P99: 5, P999: 8, Max: 9},
	}
	if server > 0 {
		p.CPU.Server = &server
	}
	return p
}

func sample() *Document {
	d := &Document{
		Meaningful: true, Command: "go run .", Commit: "0123456789abcdef", Builds: []string{"before"},
		Settings: Settings{Fractions: []float64{0.1, 0.5, 1.1}, Rounds: 3, Batch: 1000},
	}
	for round, baseline := range []float64{50_000, 40_000, 60_000} {
		round++
		d.Saturation = append(d.Saturation,
			phase(Baseline, round, baseline, 10),
			phase(Replica, round, baseline*[]float64{0.5, 0.9, 0.3}[round-1], 16),
			phase(Embedded, round, baseline*0.8, 12),
			phase("before replica", round, baseline*0.2, 30))
		d.Saturation[len(d.Saturation)-1].Statuses = map[string]int64{"503": 99, "202": 1}
		d.Batches = append(d.Batches, phase(PgxAlone, round, 100_000, 0), phase(Replica, round, 80_000, 3))
		for i, fraction := range d.Settings.Fractions {
			for _, subject := range []string{Baseline, Replica, Embedded, "before replica"} {
				p := phase(subject, round, 1000*fraction, 20)
				p.Fraction, p.Offered = fraction, 1000*fraction
				p.Latency.P95, p.Latency.P99 = float64(i*6), float64(i*30) // 6 and 30 at half
				d.Rates = append(d.Rates, p)
			}
		}
	}
	d.Saturation[1].Share5xx = 0.001 // of the replica, in one round of three
	d.Saturation[0].OthersCPU = 0.3
	d.NotThere = []NotThere{{Subject: "before replica", Part: PartBatches, Reason: "not there: POST /events answers 404"}}
	d.Audits = []Audit{{Subject: Replica, Part: PartSaturation, Round: 1, Findings: generator.Findings{Sent: 12345, Accepted: 12345, StoredRows: 12345}, Correct: true}}
	return d
}

func TestGoalsAreJudgedByTheMedianOfTheRounds(t *testing.T) {
	t.Parallel()
	d := sample()
	d.Judge()
	find := func(start string) Goal {
		for _, g := range d.Goals {
			if strings.HasPrefix(g.Name, start) {
				return g
			}
		}
		t.Fatalf("no goal %q", start)
		return Goal{}
	}
	for _, c := range []struct {
		goal, label string
		verdict     Verdict
		value       float64
	}{
		{"throughput of single events, replica", "", Reached, 0.5}, // of 0.5, 0.9 and 0.3
		{"throughput of single events, replica", "before", Missed, 0.2},
		{"CPU of the server", "", Reached, 1.6},
		{"CPU of the server", "before", Missed, 3},
		{"throughput of single events, embedded", "", ReachedBetter, 0.8},
		{"throughput of single events, embedded", "before", NotMeasured, 0},
		{"throughput in batches", "", Reached, 0.8},
		{"throughput in batches", "before", VerdictAbsent, 0},
		{"p95 at half of saturation, replica", "", Reached, 6},
		{"p99 at half of saturation, replica", "", Missed, 30},
		{"share of 5xx at saturation, replica", "", Missed, 0}, // one bad round is enough
		{"share of 5xx at saturation, embedded", "", Reached, 0},
	} {
		got := find(c.goal).Measured[c.label]
		if got.Verdict != c.verdict || math.Abs(got.Value-c.value) > 1e-9 {
			t.Errorf("%s of %q: %+v, not %s %v", c.goal, c.label, got, c.verdict, c.value)
		}
	}
	ratio := find("throughput of single events, replica").Measured[""]
	if math.Abs(ratio.Low-0.3) > 1e-9 || math.Abs(ratio.High-0.9) > 1e-9 || ratio.Rounds != 3 {
		t.Errorf("%+v", ratio)
	}
}

func TestThePageSaysEverything(t *testing.T) {
	t.Parallel()
	d := sample()
	d.Judge()
	dir := t.TempDir()
	file := filepath.Join(dir, "docs", "benchmarks.md")
	picture := filepath.Join(dir, "docs", "benchmarks", "latest.svg")
	tried := filepath.Join(dir, "tried.md")
	read := func() string {
		if err := d.WriteMarkdown(file, picture, tried, "test/results/load.json"); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	page := read()
	for _, want := range []string{
		"](benchmarks/latest.svg)", "`0123456789ab`", "0.50 (0.30 to 0.90)", "| ≥ 0.45 |", "not there: POST /events answers 404",
		"503: 297 (99.0 %)", "12345", "--mode overload", "`test/results/load.json`", "| before | verdict |", "In 1 of 54 turns", "30 % at most",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if strings.Contains(page, "tried and lost") || strings.Contains(page, "mean nothing") {
		t.Error("it says what isn't so")
	}
	if err := os.WriteFile(tried, []byte("Larger buffers lost 3 %.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Meaningful = false
	page = read()
	if !strings.Contains(page, "## What was tried and lost\n\nLarger buffers lost 3 %.\n") || !strings.Contains(page, "figures mean nothing") {
		t.Errorf("what was tried, or the warning, is missing:\n%s", page)
	}
	// Every row of a table has as many cells as its header.
	cells := 0
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "|") {
			cells = 0
			continue
		}
		n := strings.Count(line, "|")
		if cells != 0 && n != cells {
			t.Errorf("%d and %d cells: %s", cells-1, n-1, line)
		}
		cells = n
	}
}

func TestThePictureIsWellFormed(t *testing.T) {
	t.Parallel()
	steady := &Document{Settings: Settings{Fractions: []float64{1}}}
	steady.Rates = []Phase{{Subject: Baseline, Fraction: 1, Offered: 100, EventsPerSecond: 0, Latency: Percentiles{P50: 1, P95: 1, P99: 1}}}
	for name, d := range map[string]*Document{"usual": sample(), "one point": steady} {
		file := filepath.Join(t.TempDir(), "latest.svg")
		if drawn, err := d.WriteSVG(file); err != nil || !drawn {
			t.Fatal(name, drawn, err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for decoder := xml.NewDecoder(strings.NewReader(string(text))); ; {
			_, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for _, want := range []string{"events offered per second", "latency in milliseconds", "p99", "baseline"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s: no %q", name, want)
			}
		}
	}
	if drawn, err := (&Document{}).WriteSVG(filepath.Join(t.TempDir(), "none.svg")); drawn || err != nil {
		t.Errorf("without rates: %t, %v", drawn, err)
	}
}

func TestTheFiguresAreJSON(t *testing.T) {
	t.Parallel()
	d := sample()
	d.Judge()
	file := filepath.Join(t.TempDir(), "new", "latest.json")
	if err := WriteJSON(file, d); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var back Document
	if err := json.Unmarshal(text, &back); err != nil || len(back.Rates) != len(d.Rates) || len(back.Goals) != len(d.Goals) {
		t.Errorf("%v", err)
	}
}

func TestTheShareOf5xxIsOfAllRequests(t *testing.T) {
	t.Parallel()
	got := share5xx(map[string]int64{"202": 90, "503": 4, "500": 1, "429": 3, generator.StatusNone: 2})
	if math.Abs(got-0.05) > 1e-12 || share5xx(nil) != 0 {
		t.Errorf("%v", got)
	}
}
