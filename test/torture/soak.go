package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/torture/history"
	"highload.example/analytics/test/torture/soak"
	"highload.example/analytics/test/torture/workload"
)

const (
	soakShare = 0.7
	soakProbe = 10 * time.Second // finds saturation
)

// soakRate measures what the traffic's clients get done when each makes a request as
// soon as it has the answer, and returns the rate of the run. What they send is part of
// the history.
func (f *faultRun) soakRate(ctx context.Context) (float64, error) {
	clients, err := workload.New(workload.Config{
		Targets: append([]string(nil), f.fleet.Targets...), Recorder: f.recorder, Seed: ^f.options.Seed, Senders: senders, Readers: readers,
	})
	if err != nil {
		return 0, err
	}
	defer clients.Close()
	probing, cancel := context.WithTimeout(ctx, soakProbe)
	defer cancel()
	before, began := f.recorder.Recorded(), time.Now()
	clients.Run(probing)
	saturation := float64(f.recorder.Recorded()-before) / time.Since(began).Seconds()
	rate := soakShare * saturation
	f.progress.Note("saturated at %.0f requests/s: going on at %.0f", saturation, rate)
	return rate, ctx.Err()
}

// soak watches until the returned function is called, which returns what was seen.
func (f *faultRun) soak(ctx context.Context) (stop func() []soak.Sample) {
	s := f.fleet
	sampler := soak.New(soak.Config{
		Processes: func() (all []harness.Target) {
			for _, r := range s.Replicas {
				if r.Running() {
					all = append(all, r.Target())
				}
			}
			return all
		},
		Rows: func(ctx context.Context) (rows int64, err error) {
			err = s.Postgres.Query(ctx, "SELECT count(*) FROM events", &rows)
			return rows, err
		},
		Count: func(ctx context.Context, p harness.Target) (int64, error) { return total(ctx, p.URL) },
		Now:   f.recorder.Now,
	})
	watching, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		sampler.Run(watching)
	}()
	return func() []soak.Sample {
		cancel()
		<-done
		return sampler.Samples()
	}
}

// drawSoak writes the samples and their picture.
func (f *faultRun) drawSoak(samples []soak.Sample, historyFile string) error {
	latencies, err := soak.Latencies(history.Open(historyFile), 5*time.Second)
	if err != nil {
		return err
	}
	picture := &soak.Picture{
		Title:   fmt.Sprintf("%s of faults at %.0f requests/s, seed %d", f.options.Duration, f.options.Rate, f.options.Seed),
		Samples: samples, Latencies: latencies,
	}
	for _, step := range f.report.Steps {
		picture.Marks = append(picture.Marks, soak.Mark{From: float64(step.From) / 1e9, To: float64(step.To) / 1e9, Name: step.Fault})
	}
	text, err := json.Marshal(map[string]any{"samples": samples, "latencies": latencies})
	if err == nil {
		err = os.WriteFile(filepath.Join(f.options.Out, "soak.json"), append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing soak.json: %w", err)
	}
	return picture.WriteSVG(filepath.Join(f.options.Out, "soak.svg"))
}
