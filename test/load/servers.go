package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/load/generator"
)

// servers is what all measurements share: a directory, the product's program, and
// PostgreSQL and Redis. These are paused unless it is the turn of a subject that uses them:
// their background work adds to no other subject's cost.
type servers struct {
	options  *options
	dir      string
	self     string // this program
	product  harness.Program
	postgres *harness.Server
	redis    *harness.Server
	runs     uint16 // databases made so far
}

// durable undoes what the harness saves on servers that nobody will miss: each is
// PostgreSQL's own default.
var durable = []string{"fsync=on", "full_page_writes=on", "synchronous_commit=on", "shared_buffers=128MB", "max_connections=100"}

// startServers builds and starts what is needed. The caller calls close, also after an error.
func startServers(ctx context.Context, o *options, root string) (*servers, error) {
	s := &servers{options: o}
	var err error
	if s.dir, err = os.MkdirTemp(o.Dir, "analytics-load-"); err != nil {
		return s, fmt.Errorf("making a directory: %w", err)
	}
	if s.self, err = os.Executable(); err != nil {
		return s, fmt.Errorf("finding this program: %w", err)
	}
	s.product.Path = o.Binary
	if o.Binary == "" {
		if s.product, err = harness.BuildProduct(ctx, root, harness.Release); err != nil {
			return s, fmt.Errorf("%w (or give a program with --binary)", err)
		}
	}
	for _, b := range o.Compare {
		if _, err := os.Stat(b.binary); err != nil {
			return s, fmt.Errorf("--compare %s: %w", b.label, err)
		}
	}
	if s.postgres, err = harness.StartPostgres(harness.PostgresConfig{Settings: durable, TempDir: o.Dir}); err != nil {
		return s, err
	}
	if s.redis, err = harness.StartRedis(); err != nil {
		return s, err
	}
	return s, s.pause()
}

// close ends the servers and deletes the directory.
func (s *servers) close() error {
	for _, server := range []*harness.Server{s.redis, s.postgres} {
		if server != nil {
			server.Remove()
		}
	}
	if s.dir == "" {
		return nil
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("deleting what was left: %w", err)
	}
	return nil
}

func (s *servers) pause() error  { return errors.Join(s.postgres.Pause(), s.redis.Pause()) }
func (s *servers) resume() error { return errors.Join(s.postgres.Resume(), s.redis.Resume()) }

// makeDatabase makes a run's empty database and returns its URL. PostgreSQL writes out what
// the run before left to write, and Redis is emptied.
func (s *servers) makeDatabase(ctx context.Context, run uint16) (string, error) {
	if err := harness.Execute(ctx, s.postgres.URL(), "CREATE DATABASE "+databaseName(run), "CHECKPOINT"); err != nil {
		return "", err
	}
	options, err := goredis.ParseURL(s.redis.URL())
	if err != nil {
		return "", fmt.Errorf("reading Redis's URL: %w", err)
	}
	client := goredis.NewClient(options)
	return harness.WithDatabase(s.postgres.URL(), databaseName(run)), errors.Join(client.FlushAll(ctx).Err(), client.Close())
}

// dropDatabase drops a run's database, also after an interrupt.
func (s *servers) dropDatabase(ctx context.Context, run uint16) error {
	return harness.Execute(context.WithoutCancel(ctx), s.postgres.URL(), "DROP DATABASE IF EXISTS "+databaseName(run)+" WITH (FORCE)")
}

func databaseName(run uint16) string { return "run_" + strconv.Itoa(int(run)) }

// newRun returns the events of one more database and the record of their outcomes.
func (s *servers) newRun() (uint16, *generator.Source, *generator.Ledger, error) {
	s.runs++
	source, err := generator.NewSource(generator.Config{
		Seed: s.options.Seed, Run: s.runs, Users: s.options.Users, Spread: s.options.Spread, Base: time.Now(),
	})
	return s.runs, source, &generator.Ledger{}, err
}
