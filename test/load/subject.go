package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"highload.example/analytics/test/load/generator"
	"highload.example/analytics/test/load/internal/process"
)

// mode is how a subject keeps events.
type mode string

const (
	modeBare     mode = "bare"     // not at all
	modeReplica  mode = "replica"  // in PostgreSQL, with Redis
	modeEmbedded mode = "embedded" // in SQLite
)

// subject is what is measured.
type subject struct {
	label  string // of another build; empty: this one
	mode   mode
	binary string
}

func (s subject) name() string {
	if s.label == "" {
		return string(s.mode)
	}
	return s.label + " " + string(s.mode)
}

// subjects returns all, in the order in which they take turns.
func (s *stand) subjects() []subject {
	all := []subject{{mode: modeBare}, {mode: modeReplica, binary: s.binary}, {mode: modeEmbedded, binary: s.binary}}
	for _, b := range s.options.compare {
		all = append(all,
			subject{label: b.label, mode: modeReplica, binary: b.binary}, subject{label: b.label, mode: modeEmbedded, binary: b.binary})
	}
	return all
}

// instance is a subject at its turn: a process of its own, and a database that was
// empty when the turn began, so that no round inherits another's rows.
type instance struct {
	subject

	stand    *stand
	address  string
	process  *process.Process
	database *database // of a replica
	dir      string
	source   *generator.Source
	ledger   *generator.Ledger
}

// unlimited is a rate limit that nobody reaches; 0 would take the limiter out of
// the way that is measured.
const unlimited = "1000000000"

// start begins a subject's turn. The caller calls leave, also after an error
// when there is an instance.
func (s *stand) start(ctx context.Context, sub subject) (*instance, error) {
	in := &instance{subject: sub, stand: s}
	number, source, ledger, err := s.newRun()
	if err != nil {
		return nil, err
	}
	in.source, in.ledger = source, ledger
	in.dir = filepath.Join(s.dir, fmt.Sprintf("turn-%d", number))
	if err := os.Mkdir(in.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	if in.address, err = freeAddress(ctx); err != nil {
		return in, err
	}
	env := []string{"ADDR=" + in.address, "RATE_LIMIT=" + unlimited}
	program, args := sub.binary, []string(nil)
	switch sub.mode {
	case modeBare:
		program, args = s.self, []string{bareCommand, in.address}
	case modeReplica:
		if err := s.wakeDatabases(); err != nil {
			return in, err
		}
		if in.database, err = s.makeDatabase(ctx, number); err != nil {
			return in, err
		}
		env = append(env, "PG_URL="+in.database.url, "REDIS_URL="+s.redis.URL())
	case modeEmbedded:
		env = append(env, "DATA_DIR="+filepath.Join(in.dir, "data"))
	}
	if in.process, err = process.Start(sub.name(), in.dir, env, program, args...); err != nil {
		return in, err
	}
	if err := in.awaitReady(ctx); err != nil {
		return in, fmt.Errorf("starting %s: %w", sub.name(), err)
	}
	return in, nil
}

const (
	startTimeout = time.Minute
	askEvery     = 20 * time.Millisecond
)

// awaitReady waits until the server takes requests.
func (in *instance) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		status, _, err := ask(ctx, in.address, "/readyz")
		// The bare server answers 202 to everything.
		if err == nil && (status == http.StatusOK || status == http.StatusAccepted) {
			return nil
		}
		if err := in.process.HasEnded(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it isn't ready (status %d, %w)\n%s", status, errors.Join(err, ctx.Err()), in.process.LastWords())
		case <-ticker.C:
		}
	}
}

// meter returns a meter for the turn.
func (in *instance) meter() (*meter, error) {
	m := &meter{server: in.process.PID()}
	if in.mode != modeReplica {
		return m, nil
	}
	var postgresErr, redisErr error
	m.postgres, postgresErr = in.stand.postgres.PID()
	m.redis, redisErr = in.stand.redis.PID()
	return m, errors.Join(postgresErr, redisErr)
}

// run sends a load and measures what it costs.
func (in *instance) run(ctx context.Context, l *generator.Load) (generator.Result, spending, error) {
	m, err := in.meter()
	if err != nil {
		return generator.Result{}, spending{}, err
	}
	l.Address, l.Source, l.Ledger = in.address, in.source, in.ledger
	l.OnMeasure, l.OnEnd = m.begin, m.end
	result, err := l.Prepare().Do(ctx)
	if ended := in.process.HasEnded(); ended != nil {
		return result, spending{}, ended
	}
	return result, m.spent(), err
}

// leave ends the turn, whatever state it is in.
func (in *instance) leave(ctx context.Context) error {
	// The databases go on and everything is cleaned up also after an interrupt.
	ctx = context.WithoutCancel(ctx)
	var errs []error
	if in.process != nil {
		errs = append(errs, in.process.Stop())
	}
	if in.database != nil {
		errs = append(errs, in.stand.dropDatabase(ctx, in.database))
	}
	if in.mode == modeReplica {
		errs = append(errs, in.stand.restDatabases())
	}
	return errors.Join(append(errs, os.RemoveAll(in.dir))...)
}
