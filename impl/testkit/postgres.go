package testkit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	schema "highload.example/analytics/sql/schema"
)

// Postgres returns the URL of a fresh database with the product's tables, on the
// run's server. It is dropped at the end of the test.
func Postgres(t testing.TB) string {
	t.Helper()
	server := sharedPostgres(t)
	template, err := makeTemplate(server)
	if err != nil {
		t.Fatalf("testkit: %v", err)
	}
	return database(t, server, template)
}

// EmptyPostgres returns the URL of a fresh database without tables.
func EmptyPostgres(t testing.TB) string {
	t.Helper()
	return database(t, sharedPostgres(t), "template1")
}

// StartPostgres starts a server for a test that stops, kills or freezes it. Its
// URL names a database with the product's tables.
func StartPostgres(t testing.TB) *Server {
	t.Helper()
	s, err := newPostgres()
	if err != nil {
		cannotStart(t, err)
	}
	s.own(t)
	template, err := makeTemplate(s.url)
	if err != nil {
		t.Fatalf("testkit: %v", err)
	}
	name := "private"
	if err := execute(s.url, "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		t.Fatalf("testkit: %v", err)
	}
	s.url = withDatabase(s.url, name)
	return s
}

// sharedPostgres returns the URL of the run's server.
func sharedPostgres(t testing.TB) string {
	t.Helper()
	if url := os.Getenv(EnvPostgres); url != "" {
		return url
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.postgres == nil {
		s, err := newPostgres()
		if err != nil {
			cannotStart(t, err)
		}
		shared.postgres = s
	}
	return shared.postgres.url
}

// newPostgres makes and starts a server. Nothing on it survives, so it saves
// itself every fsync; its time zone is an odd one, so that whoever forgets to say
// UTC notices. Settings, name=value, win over these.
func newPostgres(settings ...string) (*Server, error) {
	return startPostgres(&Server{}, (*Server).initialize, settings...)
}

// keptPostgres starts a server in a directory that outlives it, and us.
func keptPostgres(dir string, settings ...string) (*Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	prepare := (*Server).initialize
	if _, err := os.Stat(filepath.Join(dir, "data", "PG_VERSION")); err == nil {
		prepare = func(*Server, string, *account) error { return nil } // it is there from the last time
	}
	return startPostgres(&Server{dir: dir, kept: true}, prepare, settings...)
}

// startPostgres starts a server on a data directory that prepare makes, in the
// server's directory or, where it has none, in one that ends with it.
func startPostgres(s *Server, prepare func(s *Server, bin string, as *account) error, settings ...string) (*Server, error) {
	bin, version, err := findPostgres()
	if err != nil {
		return nil, err
	}
	as, err := postgresAccount()
	if err != nil {
		return nil, err
	}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "testkit-postgres-"); err != nil {
			return nil, fmt.Errorf("making a directory: %w", err)
		}
	}
	s.version, s.kind = version, postgresKind(bin, as, settings)
	if err := s.prepareAndLaunch(prepare, bin, as); err != nil {
		if !s.kept {
			err = errors.Join(err, os.RemoveAll(s.dir))
		}
		return nil, err
	}
	s.url = postgresURL(s.port)
	return s, nil
}

func (s *Server) prepareAndLaunch(prepare func(s *Server, bin string, as *account) error, bin string, as *account) error {
	if as != nil {
		if err := os.Chown(s.dir, int(as.uid), int(as.gid)); err != nil {
			return fmt.Errorf("giving PostgreSQL its directory: %w", err)
		}
	}
	if err := prepare(s, bin, as); err != nil {
		return err
	}
	return s.launch()
}

// postgresKind says how a server is started, with settings over the kit's own.
func postgresKind(bin string, as *account, settings []string) kind {
	return kind{
		name: "PostgreSQL", stopSignal: "QUIT", as: as,
		command: func(dir string, port int) []string {
			command := []string{
				filepath.Join(bin, "postgres"), "-D", filepath.Join(dir, "data"), "-p", strconv.Itoa(port),
				"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
				"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=300", "-c", "shared_buffers=64MB",
				"-c", "timezone=Asia/Kathmandu", "-c", "log_min_messages=error",
			}
			for _, setting := range settings {
				command = append(command, "-c", setting)
			}
			return command
		},
		ready: postmasterReady,
	}
}

// initialize makes an empty data directory.
func (s *Server) initialize(bin string, as *account) error {
	return s.fillData(as, filepath.Join(bin, "initdb"), "-D", filepath.Join(s.dir, "data"),
		"-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
}

// fillData runs a program that makes the data directory. Like a server, it is
// supervised: if we are killed meanwhile, neither it nor what it made so far stays
// behind.
func (s *Server) fillData(as *account, program ...string) error {
	filler, err := supervise(s.dir, s.kept, "TERM", s.log(), as, program...)
	if err != nil {
		return err
	}
	poll(readyTimeout, func() bool { return !running(filler.pid) })
	filler.end(true) // which stops it, should it still run
	// Both initdb and pg_basebackup delete what they made when they fail or are stopped.
	if _, err := os.Stat(filepath.Join(s.dir, "data", "PG_VERSION")); err != nil {
		log, _ := os.ReadFile(s.log()) // best effort: the error is the other one
		return fmt.Errorf("%s failed: %w\n%s", filepath.Base(program[0]), err, log)
	}
	return nil
}

// postmasterReady reads what PostgreSQL writes about itself for pg_ctl: its pid in
// the first line of postmaster.pid, its state in the eighth.
func postmasterReady(dir string, _, pid int) error {
	text, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		return fmt.Errorf("reading PostgreSQL's state: %w", err)
	}
	lines := strings.Split(string(text), "\n")
	if lines[0] != strconv.Itoa(pid) {
		return errors.New("it left no trace of its own")
	}
	if len(lines) < 8 || strings.TrimSpace(lines[7]) != "ready" {
		return errors.New("it isn't ready")
	}
	return nil
}

// postgresAccount returns who PostgreSQL shall run as when we are root, which it
// refuses to be: postgres, or else nobody.
func postgresAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // no account means our own
	}
	var last error
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			last = err
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, fmt.Errorf("reading the account %s: %w", name, err)
		}
		return &account{uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("PostgreSQL refuses to run as root, and there is no other account: %w", last)
}

func postgresURL(port int) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
}

func withDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic(err) // we wrote it
	}
	u.Path = "/" + name
	return u.String()
}

// statementTimeout is long: a loaded machine may copy a database for seconds.
const statementTimeout = time.Minute

func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return conn, nil
}

func execute(url, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	conn, err := connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// databases numbers this process's databases.
var databases atomic.Int64

// database makes a database from a template, and drops it at the end of the test.
func database(t testing.TB, server, template string) string {
	t.Helper()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), databases.Add(1))
	if err := execute(server, "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		t.Fatalf("testkit: making a database: %v", err)
	}
	t.Cleanup(func() {
		if err := execute(server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("testkit: dropping a database: %v", err)
		}
	})
	return withDatabase(server, name)
}

// makeTemplate returns the name of the template database with today's tables,
// and makes it if it isn't there. Several processes may want it at once.
func makeTemplate(server string) (name string, err error) {
	name, err = templateName()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	conn, err := connect(ctx, server)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	// Released with the connection.
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext('testkit'))"); err != nil {
		return "", fmt.Errorf("locking the template: %w", err)
	}
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil {
		return "", fmt.Errorf("looking for the template: %w", err)
	}
	if there {
		return name, nil
	}
	// It gets its name when it is complete.
	unfinished := name + "_unfinished"
	for _, statement := range []string{"DROP DATABASE IF EXISTS " + unfinished + " WITH (FORCE)", "CREATE DATABASE " + unfinished} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return "", fmt.Errorf("making the template: %w", err)
		}
	}
	if err := migrate(ctx, withDatabase(server, unfinished)); err != nil {
		return "", err
	}
	if _, err := conn.Exec(ctx, "ALTER DATABASE "+unfinished+" RENAME TO "+name); err != nil {
		return "", fmt.Errorf("naming the template: %w", err)
	}
	return name, nil
}

func migrate(ctx context.Context, url string) (err error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("reading the template's URL: %w", err)
	}
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, schema.Postgres())
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrating the template: %w", err)
	}
	return nil
}

// templateName depends on every migration's text, so that a template never goes
// stale.
func templateName() (string, error) {
	hash := sha256.New()
	files := schema.Postgres()
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".sql") {
			return err
		}
		text, err := fs.ReadFile(files, path)
		fmt.Fprintf(hash, "%s %d\n%s", path, len(text), text)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("reading the migrations: %w", err)
	}
	return "template_" + hex.EncodeToString(hash.Sum(nil)[:8]), nil
}
