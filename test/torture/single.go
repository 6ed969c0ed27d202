package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/fleet"
	"highload.example/analytics/test/load/generator"
	"highload.example/analytics/test/progress"
	"highload.example/analytics/test/torture/clients"
	"highload.example/analytics/test/torture/overload"
)

// runSingle opens one replica, runs turns with it, and writes the results. The turns decide
// how long that takes, not --duration.
func runSingle(ctx context.Context, o *options, output io.Writer, turns int, settings []string, run func(context.Context, *fleet.Fleet, *progress.Progress) (results any, violations []string, err error)) (err error) {
	p := progress.New(output, turns)
	defer p.End()
	if err := os.MkdirAll(o.Out, 0o750); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	p.Note("starting a replica, PostgreSQL and Redis; %d turns: this wants the machine for itself", turns)
	s, err := fleet.Open(ctx, fleet.Config{Root: o.root, Logs: filepath.Join(o.Out, "logs"), Program: harness.Program{Path: o.Binary}, Replicas: 1, Stores: true, Env: settings})
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	if err != nil {
		return err
	}
	results, violations, err := run(ctx, s, p)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(results, "", "\t")
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	file := filepath.Join(o.Out, o.Mode+".json")
	if err := os.WriteFile(file, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	p.Note("%d violations; %s has the figures", len(violations), file)
	if len(violations) > 0 {
		return fmt.Errorf("%d violations:\n  %s", len(violations), strings.Join(violations, "\n  "))
	}
	return s.Died()
}

// runClients runs the mode clients.
func runClients(ctx context.Context, o *options, output io.Writer) error {
	return runSingle(ctx, o, output, 9, nil, func(ctx context.Context, s *fleet.Fleet, p *progress.Progress) (any, []string, error) {
		var violations []string
		turns, err := clients.Run(ctx, clients.Config{
			Server: s.Replicas[0].Target(), Seed: o.Seed, Only: o.Faults,
			Report: func(t clients.Turn) {
				p.Finish("%s", t)
				for _, v := range t.Violations {
					violations = append(violations, t.Behaviour+": "+v)
				}
			},
		})
		return turns, violations, err
	})
}

// runOverload runs the mode overload.
func runOverload(ctx context.Context, o *options, output io.Writer) error {
	settings := []string{fmt.Sprint("MAX_IN_FLIGHT_REQUESTS=", overload.MaxInFlight)}
	return runSingle(ctx, o, output, 14, settings, func(ctx context.Context, s *fleet.Fleet, p *progress.Progress) (any, []string, error) {
		source, err := generator.NewSource(generator.Config{Seed: o.Seed, Run: 1, Users: 10_000, Spread: time.Hour, Base: time.Now()})
		if err != nil {
			return nil, nil, err
		}
		ledger := &generator.Ledger{}
		var violations []string
		turns, err := overload.Run(ctx, overload.Config{
			Server: s.Replicas[0].Target(), Database: database{s}, Source: source, Ledger: ledger,
			Begin: func(database string, factor float64) {
				p.Begin(fmt.Sprintf("database %s, %g times saturation", database, factor))
			},
			Report: func(t overload.Turn) {
				p.Finish("%s", t)
				for _, v := range t.Violations {
					violations = append(violations, fmt.Sprintf("database %s, %g times saturation: %s", t.Database, t.Factor, v))
				}
			},
		})
		if err != nil {
			return nil, nil, err
		}
		findings, err := audit(ctx, s, source, ledger)
		if err != nil {
			return nil, nil, err
		}
		p.Note("%d events accepted, %d rows, %d answered 5xx of which %d are stored", findings.Accepted, findings.StoredRows, findings.Failed, findings.FailedStored)
		if err := findings.Err(); err != nil {
			violations = append(violations, err.Error())
		}
		return map[string]any{"turns": turns, "findings": findings}, violations, nil
	})
}

// database is PostgreSQL and the network before it.
type database struct{ fleet *fleet.Fleet }

// Slow implements overload.Database.
func (d database) Slow(delay time.Duration) error {
	state := harness.Healthy
	if delay > 0 {
		state = harness.Delayed
	}
	var errs []error
	for _, link := range d.fleet.Postgres.PrimaryLinks() {
		errs = append(errs, link.Set(state, delay))
	}
	return errors.Join(errs...)
}

// Stop implements overload.Database.
func (d database) Stop() error { return d.fleet.Postgres.Primary().Pause() }

// Resume implements overload.Database.
func (d database) Resume() error { return d.fleet.Postgres.Primary().Resume() }

// audit compares what was accepted with the rows and the counts.
func audit(ctx context.Context, s *fleet.Fleet, source *generator.Source, ledger *generator.Ledger) (generator.Findings, error) {
	// An event that was answered 503 in the last turn may still be queued.
	server := s.Replicas[0].Target()
	if err := harness.Poll(ctx, restTimeout, func(ctx context.Context) error {
		metrics, err := server.Metrics(ctx)
		if err != nil {
			return err
		}
		queued, err := metrics.Value("analytics_ingest_queue_events")
		if err == nil && queued > 0 {
			err = fmt.Errorf("%g events are still queued", queued)
		}
		return err
	}); err != nil {
		return generator.Findings{}, err
	}
	a := generator.NewAudit(source, ledger)
	for row, err := range s.Rows(ctx) {
		if err != nil {
			return generator.Findings{}, err
		}
		r := generator.Row{UserID: row.UserID, OccurredAt: row.Timestamp, Type: row.Type}
		if n, err := hex.Decode(r.ID[:], []byte(strings.ReplaceAll(row.ID, "-", ""))); err != nil || n != len(r.ID) {
			return generator.Findings{}, fmt.Errorf("a row's id is %q", row.ID)
		}
		a.Row(r)
	}
	counted, err := total(ctx, s.Replicas[0].URL)
	if err != nil {
		return generator.Findings{}, err
	}
	return a.Finish(counted), nil
}

// total sums what GET /stats counts.
func total(ctx context.Context, base string) (sum int64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/stats", nil)
	if err != nil {
		return 0, fmt.Errorf("asking for counts: %w", err)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return 0, fmt.Errorf("asking for counts: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // it was read
	var stats struct {
		Types []struct {
			Count int64 `json:"count"`
		} `json:"event_types"`
	}
	if err := json.NewDecoder(response.Body).Decode(&stats); err != nil || response.StatusCode != http.StatusOK {
		return 0, errors.Join(fmt.Errorf("asking for counts: %s", response.Status), err)
	}
	for _, t := range stats.Types {
		sum += t.Count
	}
	return sum, nil
}
