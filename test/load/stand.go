package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/load/generator"
	"highload.example/analytics/test/load/internal/checkout"
)

// stand is what all measurements share: a directory, the product's program, and
// the servers of databases. These are frozen unless it is the turn of a subject
// that uses them, so that what they do in the background is nobody else's cost.
type stand struct {
	options  *options
	root     string // the repository's
	dir      string
	self     string // this program
	binary   string
	postgres *harness.Server
	redis    *harness.Server
	runs     uint16 // databases made so far
}

// durable undoes what the testkit saves on servers that nobody will miss. It is
// PostgreSQL's own default for each of them.
var durable = []string{"fsync=on", "full_page_writes=on", "synchronous_commit=on", "shared_buffers=128MB", "max_connections=100"}

// openStand starts what everybody needs. The caller calls close, also after an error.
func openStand(ctx context.Context, o *options, root string) (*stand, error) {
	s := &stand{options: o, root: root}
	var err error
	if o.dir != "" {
		if o.dir, err = filepath.Abs(o.dir); err != nil {
			return s, fmt.Errorf("-dir: %w", err)
		}
		// The testkit makes its directories where temporary ones are made.
		if err := os.Setenv("TMPDIR", o.dir); err != nil {
			return s, fmt.Errorf("-dir: %w", err)
		}
	}
	if s.dir, err = os.MkdirTemp("", "analytics-load-"); err != nil {
		return s, fmt.Errorf("making a directory: %w", err)
	}
	if s.self, err = os.Executable(); err != nil {
		return s, fmt.Errorf("finding this program: %w", err)
	}
	if s.binary, err = s.program(ctx); err != nil {
		return s, err
	}
	for i, b := range o.compare {
		if o.compare[i].binary, err = filepath.Abs(b.binary); err != nil {
			return s, fmt.Errorf("-compare %s: %w", b.label, err)
		}
		if _, err := os.Stat(b.binary); err != nil {
			return s, fmt.Errorf("-compare %s: %w", b.label, err)
		}
	}
	if s.postgres, err = harness.StartPostgres(harness.PostgresConfig{Settings: durable}); err != nil {
		return s, err
	}
	if s.redis, err = harness.StartRedis(); err != nil {
		return s, err
	}
	return s, s.restDatabases()
}

// program returns the product's program, built unless it was given.
func (s *stand) program(ctx context.Context) (string, error) {
	if s.options.binary != "" {
		path, err := filepath.Abs(s.options.binary)
		if err == nil {
			_, err = os.Stat(path)
		}
		if err != nil {
			return "", fmt.Errorf("-binary: %w", err)
		}
		return path, nil
	}
	path := filepath.Join(s.dir, "analytics")
	if err := checkout.Build(ctx, s.root, path, "./cmd/analytics"); err != nil {
		return "", fmt.Errorf("%w (or give a program with -binary)", err)
	}
	return path, nil
}

// close ends the servers and deletes the directory.
func (s *stand) close() error {
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

func (s *stand) restDatabases() error {
	return errors.Join(s.postgres.Pause(), s.redis.Pause())
}

func (s *stand) wakeDatabases() error {
	return errors.Join(s.postgres.Resume(), s.redis.Resume())
}

// adminTimeout bounds a statement that keeps house; a checkpoint after a long turn
// writes much.
const adminTimeout = 2 * time.Minute

// execute runs statements on a connection of their own, each by itself.
func execute(ctx context.Context, url string, statements ...string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// database is one turn's database on PostgreSQL.
type database struct{ name, url string }

// makeDatabase makes an empty database and has PostgreSQL write out what the turn
// before left to write. Redis is emptied.
func (s *stand) makeDatabase(ctx context.Context, number uint16) (*database, error) {
	d := &database{name: "turn_" + strconv.Itoa(int(number))}
	config, err := pgx.ParseConfig(s.postgres.URL())
	if err != nil {
		return nil, fmt.Errorf("reading PostgreSQL's URL: %w", err)
	}
	d.url = fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", config.User, net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))), d.name)
	if err := execute(ctx, s.postgres.URL(), "CREATE DATABASE "+d.name, "CHECKPOINT"); err != nil {
		return nil, err
	}
	options, err := goredis.ParseURL(s.redis.URL())
	if err != nil {
		return nil, fmt.Errorf("reading Redis's URL: %w", err)
	}
	client := goredis.NewClient(options)
	return d, errors.Join(client.FlushAll(ctx).Err(), client.Close())
}

func (s *stand) dropDatabase(ctx context.Context, d *database) error {
	return execute(ctx, s.postgres.URL(), "DROP DATABASE IF EXISTS "+d.name+" WITH (FORCE)")
}

// newRun returns the events of one more database and the record of their fate.
func (s *stand) newRun() (uint16, *generator.Source, *generator.Ledger, error) {
	s.runs++
	source, err := generator.NewSource(generator.Config{
		Seed: s.options.seed, Run: s.runs, Users: s.options.users, Spread: s.options.spread, Base: time.Now(),
	})
	return s.runs, source, &generator.Ledger{}, err
}

// freeAddress returns an address of this machine that was free a moment ago.
func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}
