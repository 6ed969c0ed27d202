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
		{mode: report.Replica, program: s.product}, {mode: report.Embedded, program: s.product},
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
	in := &instance{subject: sub, servers: s}
	var err error
	if in.run, in.source, in.ledger, err = s.newRun(); err != nil {
		return nil, err
	}
	in.dir = filepath.Join(s.dir, fmt.Sprintf("run-%d", in.run))
	if err := os.Mkdir(in.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	settings := []string{"RATE_LIMIT=" + harness.UnlimitedRate}
	switch sub.mode {
	case report.Replica:
		if err := s.resume(); err != nil {
			return in, err
		}
		if in.database, err = s.makeDatabase(ctx, in.run); err != nil {
			return in, err
		}
		settings = append(settings, "PG_URL="+in.database, "REDIS_URL="+s.redis.URL())
	case report.Embedded:
		settings = append(settings, "DATA_DIR="+filepath.Join(in.dir, "data"))
	}
	in.product, err = harness.StartProduct(ctx, harness.ProductConfig{
		Program: sub.program, Name: sub.name(), Env: settings, Dir: in.dir, LogFile: filepath.Join(in.dir, "server.log"),
	})
	return in, err
}

// address returns the process's host:port.
func (in *instance) address() string { return strings.TrimPrefix(in.product.URL, "http://") }

// meter returns a meter for the turn.
func (in *instance) meter() (*meter, error) {
	m := &meter{server: in.product.PID()}
	if in.mode != report.Replica {
		return m, nil
	}
	var postgresErr, redisErr error
	m.postgres, postgresErr = in.servers.postgres.PID()
	m.redis, redisErr = in.servers.redis.PID()
	return m, errors.Join(postgresErr, redisErr)
}

// send sends a load and measures what it costs.
func (in *instance) send(ctx context.Context, l *generator.Load) (generator.Result, cpuTimes, error) {
	m, err := in.meter()
	if err != nil {
		return generator.Result{}, cpuTimes{}, err
	}
	l.Address, l.Source, l.Ledger = in.address(), in.source, in.ledger
	l.OnMeasure, l.OnEnd = m.begin, m.end
	result, err := l.Prepare().Do(ctx)
	if died := in.product.Died(); died != nil {
		return result, cpuTimes{}, died
	}
	return result, m.spent(), err
}

// leave ends the turn, whatever state it is in, also after an interrupt.
func (in *instance) leave(ctx context.Context) error {
	var errs []error
	if in.product != nil && in.product.Process() != nil {
		errs = append(errs, in.product.Close(ctx))
	}
	if in.database != "" {
		errs = append(errs, in.servers.dropDatabase(ctx, in.run))
	}
	if in.mode == report.Replica {
		errs = append(errs, in.servers.pause())
	}
	return errors.Join(append(errs, os.RemoveAll(in.dir))...)
}
