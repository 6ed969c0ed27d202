package soak

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/torture/history"
)

func TestDrift(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ count, before, after, want int64 }{
		{10, 10, 12, 0}, {12, 10, 12, 0}, {9, 10, 12, -1}, {15, 10, 12, 3},
	} {
		if got := drift(c.count, c.before, c.after); got != c.want {
			t.Errorf("%d among %d to %d rows drifts by %d, want %d", c.count, c.before, c.after, got, c.want)
		}
	}
}

func TestSampler(t *testing.T) {
	t.Parallel()
	var looks atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	s := New(Config{
		Period: time.Millisecond,
		Processes: func() []harness.Target {
			return []harness.Target{{Name: "this", URL: "http://127.0.0.1:1", PID: os.Getpid()}}
		},
		Rows: func(context.Context) (int64, error) {
			if looks.Add(1) > 2 { // the first look has two
				return 0, errors.New("away")
			}
			return 7, nil
		},
		Count: func(context.Context, harness.Target) (int64, error) { return 9, nil },
		Now:   func() int64 { return looks.Load() * 1e9 },
	})
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	for len(s.Samples()) < 3 {
		<-time.After(time.Millisecond)
	}
	cancel()
	<-done
	all := s.Samples()
	if all[0].Rows != 7 || all[0].Drift["this"] != 2 || all[0].Processes["this"].RSS < 1<<20 {
		t.Errorf("the first sample is %+v", all[0])
	}
	if _, known := all[1].Drift["this"]; known || all[1].Rows != -1 {
		t.Errorf("without rows the drift is %+v", all[1])
	}
}

func operations(all ...history.Operation) iter.Seq2[history.Operation, error] {
	return func(yield func(history.Operation, error) bool) {
		for _, o := range all {
			if !yield(o, nil) {
				return
			}
		}
	}
}

func TestLatencies(t *testing.T) {
	t.Parallel()
	got, err := Latencies(operations(
		history.Operation{Start: 0, End: 2e6, Status: 202},
		history.Operation{Start: 0, End: 5e9, Status: 503},
		history.Operation{Start: 2e9, End: 5.1e9},
	), time.Second)
	if err != nil || len(got) != 6 || got[0].Served != 1 || math.Abs(got[0].P99-2) > .01 || got[5].Others != 2 || got[5].At != 5.5 {
		t.Errorf("%+v %v", got, err)
	}
}

func TestPicture(t *testing.T) {
	t.Parallel()
	p := example()
	file := filepath.Join(t.TempDir(), "soak.svg")
	if err := p.WriteSVG(file); err != nil {
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
	for _, want := range []string{"replica-1", "Goroutines", "p99", "0 is right"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in the picture", want)
		}
	}
	if strings.Contains(string(text), "NaN") || strings.Contains(string(text), "Inf") {
		t.Error("there is a number that is none")
	}
	if err := (&Picture{}).WriteSVG(file); err == nil {
		t.Error("nothing was drawn")
	}
	if keep := os.Getenv("SOAK_PICTURE"); keep != "" { // to look at it
		if err := os.WriteFile(keep, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// example is a run of ten minutes with two faults.
func example() *Picture {
	p := &Picture{Title: "An example", Marks: []Mark{{From: 120, To: 150, Name: "kill"}, {From: 400, To: 402, Name: "cut"}}}
	for i := range 120 {
		at := float64(i) * 5
		s := Sample{At: at, Processes: map[string]harness.ProcessStats{}, Drift: map[string]int64{}}
		for n, name := range []string{"replica-1", "replica-2", "replica-3"} {
			if n == 0 && at >= 120 && at < 150 {
				continue
			}
			s.Processes[name] = harness.ProcessStats{RSS: int64(60+10*n+i/4) << 20, Goroutines: int64(40 + 3*n + i%7), Descriptors: int64(30 + i%5)}
			s.Drift[name] = 0
			if at >= 400 && at < 410 {
				s.Drift[name] = -3
			}
		}
		p.Samples = append(p.Samples, s)
		l := Latency{At: at, P50: 2 + float64(i%5)/3, P99: 12 + float64(i%11), Served: 1500, Others: 0}
		if at >= 120 && at < 150 {
			l = Latency{At: at, Others: 500}
		}
		p.Latencies = append(p.Latencies, l)
	}
	return p
}
