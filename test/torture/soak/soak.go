// Package soak watches a long run: what the processes hold, how fast clients are
// answered, and how far counts are from the rows, over time and with the faults beside
// them. A leak, or a drift, is a line that rises.
package soak

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/torture/history"
)

// Config says what is watched. Zero values get the defaults named.
type Config struct {
	Period    time.Duration           // between two looks; 5 s
	Processes func() []harness.Target // those that there are now
	// Rows counts the events in the database, and Count what a process says they are.
	// Both may fail while things are broken: then there is no drift to be known.
	Rows  func(ctx context.Context) (int64, error)
	Count func(ctx context.Context, p harness.Target) (int64, error)
	Now   func() int64 // nanoseconds since the run's start
}

// Sample is one look.
type Sample struct {
	At        float64                         `json:"at"` // seconds since the run's start
	Processes map[string]harness.ProcessStats `json:"processes"`
	Rows      int64                           `json:"rows"` // -1: not to be had
	// Drift is how far a process's count was from the rows, 0 if it lay between those
	// before it was asked and those after.
	Drift map[string]int64 `json:"drift"`
}

// Sampler looks now and then. Use New.
type Sampler struct {
	config Config

	mu      sync.Mutex
	samples []Sample
}

// New returns a sampler.
func New(c Config) *Sampler {
	if c.Period <= 0 {
		c.Period = 5 * time.Second
	}
	return &Sampler{config: c}
}

// Run looks until ctx ends.
func (s *Sampler) Run(ctx context.Context) {
	ticker := time.NewTicker(s.config.Period)
	defer ticker.Stop()
	for {
		sample := s.look(ctx)
		if ctx.Err() != nil {
			return // half a look
		}
		s.mu.Lock()
		s.samples = append(s.samples, sample)
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Samples returns what was seen so far.
func (s *Sampler) Samples() []Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Sample(nil), s.samples...)
}

// look asks everyone at once: one that hangs must not keep the others waiting.
func (s *Sampler) look(ctx context.Context) Sample {
	ctx, cancel := context.WithTimeout(ctx, s.config.Period)
	defer cancel()
	sample := Sample{
		At: time.Duration(s.config.Now()).Seconds(), Processes: map[string]harness.ProcessStats{}, Drift: map[string]int64{},
	}
	before, beforeErr := s.config.Rows(ctx)
	counts := map[string]int64{}
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, p := range s.config.Processes() {
		asked.Go(func() {
			reading, err := p.Stats(ctx)
			count, countErr := s.config.Count(ctx, p)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				sample.Processes[p.Name] = reading
			}
			if countErr == nil {
				counts[p.Name] = count
			}
		})
	}
	asked.Wait()
	after, afterErr := s.config.Rows(ctx)
	sample.Rows = -1
	if beforeErr != nil || afterErr != nil {
		return sample
	}
	sample.Rows = after
	for name, count := range counts {
		sample.Drift[name] = drift(count, before, after)
	}
	return sample
}

func drift(count, before, after int64) int64 {
	switch {
	case count < before:
		return count - before
	case count > after:
		return count - after
	}
	return 0
}

// Latency is how long answers took in a stretch of the run, in milliseconds.
type Latency struct {
	At     float64 `json:"at"` // seconds since the run's start: the stretch's middle
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
	Served int64   `json:"served"` // operations with 2xx
	Others int64   `json:"others"` // with another answer, or none
}

// Latencies reads them off a history.
func Latencies(operations iter.Seq2[history.Operation, error], period time.Duration) ([]Latency, error) {
	type stretch struct {
		took   *hdrhistogram.Histogram
		others int64
	}
	var stretches []stretch
	for o, err := range operations {
		if err != nil {
			return nil, fmt.Errorf("reading latencies off the history: %w", err)
		}
		i := int(o.End / int64(period))
		for len(stretches) <= i {
			stretches = append(stretches, stretch{took: hdrhistogram.New(1, int64(2*time.Minute/time.Microsecond), 3)})
		}
		if o.Status < 200 || o.Status > 299 {
			stretches[i].others++
			continue
		}
		micros := max(1, min((o.End-o.Start)/1000, int64(2*time.Minute/time.Microsecond)))
		_ = stretches[i].took.RecordValue(micros) // in range
	}
	var all []Latency
	for i, s := range stretches {
		l := Latency{At: (float64(i) + .5) * period.Seconds(), Served: s.took.TotalCount(), Others: s.others}
		if l.Served > 0 {
			l.P50 = float64(s.took.ValueAtQuantile(50)) / 1000
			l.P99 = float64(s.took.ValueAtQuantile(99)) / 1000
		}
		all = append(all, l)
	}
	return all, nil
}
