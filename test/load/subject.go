package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/load/generator"
	"highload.example/analytics/test/load/report"
)

// subject is what is measured: a build of the product, or the baseline.
type subject struct {
	label   string // of another build; empty: this one
	mode    string // report.Baseline, report.Replica (PostgreSQL and Redis) or report.Embedded (SQLite)
	program harness.Program
}

func (s subject) name() string { return report.SubjectName(s.label, s.mode) }

// subjects returns all, in the order in which they take turns.
func (s *servers) subjects() []subject {
	all := []subject{
		{mode: report.Baseline, program: harness.Program{Path: s.self, Env: []string{serveBaselineEnv + "=1"}}},
		{mode: report.Replica, program: s.product},
		{mode: report.Embedded, program: s.product},
	}
	for _, b := range s.options.Compare {
		program := harness.Program{Path: b.binary}
		all = append(all,
			subject{label: b.label, mode: report.Replica, program: program}, subject{label: b.label, mode: report.Embedded, program: program})
	}
	return all
}

// instance is a subject at its turn: a process of its own, and a database that was
// empty when the turn began: no round inherits another's rows.
type instance struct {
	subject

	servers  *servers
	product  *harness.Product // or the baseline server
	run      uint16
	database string // a replica's: the URL
	dir      string
	source   *generator.Source
	ledger   *generator.Ledger
}

// start begins a subject's turn. The caller calls leave, also after an error
// when there is an instance.
func (s *servers) start(ctx context.Context, sub subject) (*instance, error) {
	i := &instance{subject: sub, servers: s}
	var err error
	if i.run, i.source, i.ledger, err = s.newRun(); err != nil {
		return nil, err
	}
	i.dir = filepath.Join(s.dir, fmt.Sprintf("run-%d", i.run))
	if err := os.Mkdir(i.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	settings := []string{"RATE_LIMIT=" + harness.UnlimitedRate}
	switch sub.mode {
	case report.Replica:
		if err := s.resume(); err != nil {
			return i, err
		}
		if i.database, err = s.makeDatabase(ctx, i.run); err != nil {
			return i, err
		}
		settings = append(settings, "PG_URL="+i.database, "REDIS_URL="+s.redis.URL())
	case report.Embedded:
		settings = append(settings, "DATA_DIR="+filepath.Join(i.dir, "data"))
	}
	i.product, err = harness.StartProduct(ctx, harness.ProductConfig{
		Program: sub.program, Name: sub.name(), Env: settings, Dir: i.dir, LogFile: filepath.Join(i.dir, "server.log"),
	})
	return i, err
}

// address returns the process's host:port.
func (i *instance) address() string { return strings.TrimPrefix(i.product.URL, "http://") }

// meter returns a meter for the turn.
func (i *instance) meter() (*meter, error) {
	m := &meter{server: i.product.PID()}
	if i.mode != report.Replica {
		return m, nil
	}
	var postgresErr, redisErr error
	m.postgres, postgresErr = i.servers.postgres.PID()
	m.redis, redisErr = i.servers.redis.PID()
	return m, errors.Join(postgresErr, redisErr)
}

// send sends a load and measures what it costs.
func (i *instance) send(ctx context.Context, l *generator.Load) (generator.Result, cpuTimes, error) {
	m, err := i.meter()
	if err != nil {
		return generator.Result{}, cpuTimes{}, err
	}
	l.Address, l.Source, l.Ledger = i.address(), i.source, i.ledger
	l.OnMeasure, l.OnEnd = m.begin, m.end
	result, err := l.Prepare().Do(ctx)
	if died := i.product.Process().Died(); died != nil {
		return result, cpuTimes{}, died
	}
	return result, m.spent(), err
}

// leave ends the turn, whatever state it is in, also after an interrupt.
func (i *instance) leave(ctx context.Context) error {
	var errs []error
	if i.product != nil && i.product.Process() != nil {
		errs = append(errs, i.product.Close(ctx))
	}
	if i.database != "" {
		errs = append(errs, i.servers.dropDatabase(ctx, i.run))
	}
	if i.mode == report.Replica {
		errs = append(errs, i.servers.pause())
	}
	return errors.Join(append(errs, os.RemoveAll(i.dir))...) //nolint:gosec // where start made it
}
