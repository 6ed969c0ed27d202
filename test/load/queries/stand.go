package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/load/internal/checkout"
	"highload.example/analytics/test/load/internal/process"
)

// The sizes, which name databases and directories.
const (
	large = "large"
	small = "small"
)

// postgresSettings undo what the testkit saves on servers that nobody will miss: each of the
// first five is PostgreSQL's own default. The others let it explain its plans, once it is told to.
var postgresSettings = []string{
	"fsync=on", "full_page_writes=on", "synchronous_commit=on", "shared_buffers=128MB", "max_connections=100",
	"shared_preload_libraries=auto_explain", "log_line_prefix=" + logPrefix,
}

// stamp says what a directory holds.
type stamp struct {
	Seed   uint64   `json:"seed"`
	Count  int      `json:"count"`
	Small  int      `json:"small"`
	Users  int      `json:"users"`
	End    int64    `json:"end"`
	Loaded []string `json:"loaded"` // the stores that are complete
}

const stampFile = "questions.json"

// fits says why a directory with this stamp can't be used, if it can't.
func (s *stamp) fits(o *options) error {
	if s.Seed != o.seed || s.Count != o.count || s.Small != o.small || s.Users != o.users || o.end != 0 && s.End != o.end {
		return fmt.Errorf("it holds %d and %d events of %d users and seed %d until %s: take another directory, or delete it",
			s.Count, s.Small, s.Users, s.Seed, time.Unix(s.End, 0).UTC().Format(time.RFC3339))
	}
	return nil
}

// stand is what both stores share.
type stand struct {
	options   *options
	dir       string // of the databases
	ours      bool   // dir was made by this run
	work      string // of programs and logs; deleted at the end
	analytics string // the product's program
	generator string // the program of load/data
	stamp     stamp
}

// openStand builds what is needed and finds out what is there. The caller calls close,
// also after an error.
func openStand(ctx context.Context, o *options, root string) (*stand, error) {
	s := &stand{options: o}
	var err error
	if s.work, err = os.MkdirTemp("", "analytics-questions-"); err != nil {
		return s, fmt.Errorf("making a directory: %w", err)
	}
	if err := s.openDir(); err != nil {
		return s, fmt.Errorf("directory %s: %w", s.dir, err)
	}
	s.analytics, s.generator = filepath.Join(s.work, "analytics"), filepath.Join(s.work, "data")
	return s, errors.Join(
		checkout.Build(ctx, root, s.analytics, "./cmd/analytics"),
		checkout.Build(ctx, filepath.Join(root, "load"), s.generator, "./data"))
}

// openDir makes the directory for the databases, or reads the stamp of the one that is there.
func (s *stand) openDir() error {
	o := s.options
	s.stamp = stamp{Seed: o.seed, Count: o.count, Small: o.small, Users: o.users, End: o.end}
	if o.end == 0 {
		// So long ago that all of it can be folded.
		s.stamp.End = time.Now().Truncate(time.Hour).Add(-time.Hour).Unix()
	}
	s.dir = filepath.Join(s.work, "databases")
	if o.dir != "" {
		var err error
		if s.dir, err = filepath.Abs(o.dir); err != nil {
			return err
		}
	} else if err := os.Chmod(s.work, 0o711); err != nil { //nolint:gosec // PostgreSQL, which refuses to be root, has to get through
		return err
	}
	text, err := os.ReadFile(filepath.Join(s.dir, stampFile))
	if err == nil {
		var there stamp
		if err := json.Unmarshal(text, &there); err != nil {
			return fmt.Errorf("reading %s: %w", stampFile, err)
		}
		if err := there.fits(o); err != nil {
			return err
		}
		s.stamp = there
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if entries, err := os.ReadDir(s.dir); err == nil && len(entries) > 0 {
		return errors.New("it has files, and none of this program's: take an empty one")
	}
	s.ours = true
	if err := os.MkdirAll(s.dir, 0o755); err != nil { //nolint:gosec // see above
		return err
	}
	return s.writeStamp()
}

func (s *stand) writeStamp() error {
	text, err := json.MarshalIndent(&s.stamp, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, stampFile), append(text, '\n'), 0o600)
}

// close deletes what nobody asked to keep.
func (s *stand) close() error {
	var err error
	if s.ours && !s.options.keep {
		err = os.RemoveAll(s.dir)
	}
	return errors.Join(err, os.RemoveAll(s.work))
}

// open is a store with its databases and the product on each.
type open struct {
	store    string
	stand    *stand
	postgres *harness.Server // nil for SQLite
	redis    *harness.Server
	large    *deployment
	small    *deployment
}

// openStore starts a store. What was only half loaded is thrown away. The caller calls close, also
// after an error.
func (s *stand) openStore(ctx context.Context, store string) (*open, error) {
	in := &open{store: store, stand: s}
	dir := filepath.Join(s.dir, strings.ToLower(store))
	if !slices.Contains(s.stamp.Loaded, store) {
		if err := os.RemoveAll(dir); err != nil { //nolint:gosec // where we loaded it to: the stamp says so
			return in, fmt.Errorf("deleting what was half loaded: %w", err)
		}
	}
	in.large = &deployment{name: large, count: s.stamp.Count, store: store}
	in.small = &deployment{name: small, count: s.stamp.Small, store: store}
	for _, d := range in.deployments() {
		d.program, d.logs = s.analytics, filepath.Join(s.work, strings.ToLower(store)+"-"+d.name)
		if err := os.Mkdir(d.logs, 0o700); err != nil {
			return in, err
		}
	}
	if store == sqlite {
		for _, d := range in.deployments() {
			d.dir = filepath.Join(dir, d.name)
			d.env = []string{"DATA_DIR=" + d.dir}
		}
		return in, nil
	}
	var err error
	if in.postgres, err = harness.StartPostgres(harness.PostgresConfig{KeptDir: dir, Settings: postgresSettings}); err != nil {
		return in, err
	}
	if in.redis, err = harness.StartRedis(); err != nil {
		return in, err
	}
	for number, d := range in.deployments() {
		if d.url, err = makeDatabase(ctx, in.postgres.URL(), d.name); err != nil {
			return in, err
		}
		redis := fmt.Sprintf("%s/%d", strings.TrimSuffix(in.redis.URL(), "/0"), number)
		d.env = []string{"PG_URL=" + d.url, "REDIS_URL=" + redis}
	}
	return in, nil
}

func (in *open) deployments() []*deployment { return []*deployment{in.large, in.small} }

// close ends everything; the files stay.
func (in *open) close() error {
	var errs []error
	for _, d := range in.deployments() {
		if d != nil {
			errs = append(errs, d.stop())
		}
	}
	for _, server := range []*harness.Server{in.redis, in.postgres} {
		if server != nil {
			server.Remove()
		}
	}
	return errors.Join(errs...)
}

// makeDatabase makes a database unless it is there, and returns its URL.
func makeDatabase(ctx context.Context, server, name string) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", fmt.Errorf("reading PostgreSQL's URL: %w", err)
	}
	u.Path = "/" + name
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	var there bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there)
	if err == nil && !there {
		_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	}
	return u.String(), errors.Join(err, conn.Close(ctx))
}

// deployment is the product on one database.
type deployment struct {
	store   string
	name    string // large or small
	count   int    // events
	program string
	logs    string   // directory
	env     []string // which database
	url     string   // of PostgreSQL's database
	dir     string   // of SQLite's

	address string
	process *process.Process // nil while stopped
}

// A rate limit that nobody reaches: 0 would take the limiter out of the way that is
// measured. The time limit isn't what is measured here.
var productSettings = []string{"RATE_LIMIT=1000000000", "QUERY_TIMEOUT=10m"}

const (
	startTimeout = time.Minute
	askEvery     = 20 * time.Millisecond
)

// start starts the product and waits until it takes requests.
func (d *deployment) start(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("finding a free port: %w", err)
	}
	d.address = listener.Addr().String()
	if err := listener.Close(); err != nil {
		return fmt.Errorf("finding a free port: %w", err)
	}
	env := slices.Concat(d.env, productSettings, []string{"ADDR=" + d.address})
	if d.process, err = process.Start("analytics on "+d.name, d.logs, env, d.program); err != nil {
		return err
	}
	err = await(ctx, startTimeout, func() (bool, error) {
		if err := d.process.HasEnded(); err != nil {
			return false, err
		}
		_, err := d.ask(ctx, request{method: http.MethodGet, path: "/readyz"})
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("starting analytics on %s: %w\n%s", d.name, err, d.process.LastWords())
	}
	return nil
}

// stop ends it, if it runs.
func (d *deployment) stop() error {
	if d.process == nil {
		return nil
	}
	err := d.process.Stop()
	d.process = nil
	return err
}

// await asks again and again until the answer is yes, or an error.
func await(ctx context.Context, limit time.Duration, is func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		if yes, err := is(); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
