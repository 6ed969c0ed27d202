package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"highload.example/analytics/internal/harness"
)

// The sizes, which name databases and directories.
const (
	large = "large"
	small = "small"
)

// postgresSettings undo what the harness saves on servers that nobody will miss: each of the
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

const stampFile = "queries.json"

// fits says why a directory with this stamp can't be used, if it can't.
func (s *stamp) fits(o *options) error {
	if s.Seed != o.Seed || s.Count != o.Count || s.Small != o.Small || s.Users != o.Users || !o.End.IsZero() && s.End != o.End.Unix() {
		return fmt.Errorf("it holds %d and %d events of %d users and seed %d until %s: take another directory, or delete it",
			s.Count, s.Small, s.Users, s.Seed, time.Unix(s.End, 0).UTC().Format(time.RFC3339))
	}
	return nil
}

// workspace is what both stores share.
type workspace struct {
	options *options
	dir     string // of the databases
	ours    bool   // dir was made by this run
	work    string // of logs; deleted at the end
	product harness.Program
	stamp   stamp
}

// openWorkspace builds what is needed and finds out what is there. The caller calls close,
// also after an error.
func openWorkspace(ctx context.Context, o *options, root string) (*workspace, error) {
	w := &workspace{options: o}
	var err error
	if w.work, err = os.MkdirTemp("", "analytics-queries-"); err != nil {
		return w, fmt.Errorf("making a directory: %w", err)
	}
	if err := w.openDir(); err != nil {
		return w, fmt.Errorf("directory %s: %w", w.dir, err)
	}
	w.product, err = harness.BuildProduct(ctx, root, harness.Release)
	return w, err
}

// openDir makes the directory for the databases, or reads the stamp of the one that is there.
func (w *workspace) openDir() error {
	o := w.options
	w.stamp = stamp{Seed: o.Seed, Count: o.Count, Small: o.Small, Users: o.Users, End: o.End.Unix()}
	if o.End.IsZero() {
		// So long ago that the counts of all of it can be rolled up.
		w.stamp.End = time.Now().Truncate(time.Hour).Add(-time.Hour).Unix()
	}
	w.dir = o.Data
	if w.dir == "" {
		w.dir = filepath.Join(w.work, "databases")
		if err := os.Chmod(w.work, 0o711); err != nil { //nolint:gosec // PostgreSQL, which refuses to be root, walks through it
			return err
		}
	}
	text, err := os.ReadFile(filepath.Join(w.dir, stampFile))
	if err == nil {
		var there stamp
		if err := json.Unmarshal(text, &there); err != nil {
			return fmt.Errorf("reading %s: %w", stampFile, err)
		}
		if err := there.fits(o); err != nil {
			return err
		}
		w.stamp = there
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if entries, err := os.ReadDir(w.dir); err == nil && len(entries) > 0 {
		return errors.New("it has files, and none of this program's: take an empty one")
	}
	w.ours = true
	if err := os.MkdirAll(w.dir, 0o755); err != nil { //nolint:gosec // see above
		return err
	}
	return w.writeStamp()
}

func (w *workspace) writeStamp() error {
	text, err := json.MarshalIndent(&w.stamp, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, stampFile), append(text, '\n'), 0o600)
}

// close deletes what isn't to be kept.
func (w *workspace) close() error {
	var err error
	if w.ours && !w.options.Keep {
		err = os.RemoveAll(w.dir)
	}
	return errors.Join(err, os.RemoveAll(w.work))
}

// databases are the two of a store, and the product on each.
type databases struct {
	store     string
	workspace *workspace
	postgres  *harness.Server // nil for SQLite
	redis     *harness.Server
	large     *deployment
	small     *deployment
}

// openStore starts a store. What was only half loaded is deleted. The caller calls close, also
// after an error.
func (w *workspace) openStore(ctx context.Context, store string) (*databases, error) {
	dir := filepath.Join(w.dir, strings.ToLower(store))
	dbs := &databases{
		store: store, workspace: w,
		large: &deployment{name: large, count: w.stamp.Count, store: store, dir: filepath.Join(dir, large)},
		small: &deployment{name: small, count: w.stamp.Small, store: store, dir: filepath.Join(dir, small)},
	}
	if !slices.Contains(w.stamp.Loaded, store) {
		if err := os.RemoveAll(dir); err != nil {
			return dbs, fmt.Errorf("deleting what was half loaded: %w", err)
		}
	}
	if store == postgres {
		if err := dbs.startServers(ctx, dir); err != nil {
			return dbs, err
		}
	}
	for _, d := range dbs.deployments() {
		if err := d.configure(w); err != nil {
			return dbs, err
		}
	}
	return dbs, nil
}

// startServers starts PostgreSQL with both databases, and Redis.
func (dbs *databases) startServers(ctx context.Context, dir string) (err error) {
	if dbs.postgres, err = harness.StartPostgres(harness.PostgresConfig{KeptDir: dir, Settings: postgresSettings}); err != nil {
		return err
	}
	if dbs.redis, err = harness.StartRedis(); err != nil {
		return err
	}
	for number, d := range dbs.deployments() {
		if err := makeDatabase(ctx, dbs.postgres.URL(), d.name); err != nil {
			return err
		}
		d.url = harness.WithDatabase(dbs.postgres.URL(), d.name)
		d.redis = fmt.Sprintf("%s/%d", strings.TrimSuffix(dbs.redis.URL(), "/0"), number)
	}
	return nil
}

func (dbs *databases) deployments() []*deployment { return []*deployment{dbs.large, dbs.small} }

// close ends everything; the files stay.
func (dbs *databases) close(ctx context.Context) error {
	var errs []error
	for _, d := range dbs.deployments() {
		errs = append(errs, d.stop(ctx))
	}
	for _, server := range []*harness.Server{dbs.redis, dbs.postgres} {
		if server != nil {
			server.Remove()
		}
	}
	return errors.Join(errs...)
}

// makeDatabase makes a database unless it is there.
func makeDatabase(ctx context.Context, server, name string) error {
	conn, err := harness.Connect(ctx, server)
	if err != nil {
		return err
	}
	var there bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there)
	err = errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	if err == nil && !there {
		err = harness.Execute(ctx, server, "CREATE DATABASE "+name)
	}
	return err
}

// deployment is the product on one database.
type deployment struct {
	store string
	name  string // large or small
	count int    // events
	url   string // of PostgreSQL's database
	redis string // and Redis's
	dir   string // of SQLite's

	product *harness.Product // nil before configure
}

// configure prepares the product. A rate limit that nobody reaches leaves the limiter in the
// path that is measured; the time limit of queries isn't what is measured here.
func (d *deployment) configure(w *workspace) (err error) {
	settings := []string{"RATE_LIMIT=" + harness.UnlimitedRate, "QUERY_TIMEOUT=10m"}
	if d.store == postgres {
		settings = append(settings, "PG_URL="+d.url, "REDIS_URL="+d.redis)
	} else {
		settings = append(settings, "DATA_DIR="+d.dir)
	}
	name := strings.ToLower(d.store) + "-" + d.name
	d.product, err = harness.NewProduct(harness.ProductConfig{
		Program: w.product, Name: "analytics on " + name, Env: settings, LogFile: filepath.Join(w.work, name+".log"),
	})
	return err
}

// stop ends the product, if it runs.
func (d *deployment) stop(ctx context.Context) error {
	if d.product == nil || d.product.Process() == nil {
		return nil
	}
	return d.product.Close(ctx)
}
