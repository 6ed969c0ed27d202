package harness

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresConfig says how to start PostgreSQL.
type PostgresConfig struct {
	// Settings, name=value, win over the harness's own, which are those of a database that
	// nobody will miss: fsync is off. Its time zone is an odd one, so that code that forgets to
	// say UTC fails.
	Settings []string
	// KeptDir holds the files; it is made if it is missing and stays when the server ends,
	// for the next one there. Empty: they are deleted with the server.
	KeptDir string
	// TempDir is where the directory of a server without KeptDir is made; empty: where
	// temporary ones are.
	TempDir string
}

// StartPostgres starts a server. Its URL names the database postgres, which is empty. The
// caller calls Remove.
func StartPostgres(c PostgresConfig) (*Server, error) {
	s := &Server{dir: c.KeptDir, kept: c.KeptDir != ""}
	prepare := (*Server).initialize
	if s.kept {
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			return nil, fmt.Errorf("making a directory: %w", err)
		}
		if _, err := os.Stat(filepath.Join(s.dir, "data", "PG_VERSION")); err == nil {
			prepare = func(*Server, string, *account) error { return nil } // it is there from the last time
		}
	}
	return startPostgres(s, c, prepare)
}

// StartStandby starts a server that follows another PostgreSQL, from a copy of its
// data, and that the other one knows as name. Promote ends the following.
func StartStandby(primary *Server, name string, c PostgresConfig) (*Server, error) {
	follow := func(s *Server, bin string, as *account) error {
		// The one that came with this server, which may be on the PATH by a link alone.
		server, err := filepath.EvalSymlinks(filepath.Join(bin, "postgres"))
		if err != nil {
			return fmt.Errorf("finding pg_basebackup: %w", err)
		}
		return s.fillData(as, filepath.Join(filepath.Dir(server), "pg_basebackup"), "-D", filepath.Join(s.dir, "data"),
			"-d", fmt.Sprintf("host=127.0.0.1 port=%d user=postgres application_name=%s", primary.port, name),
			"--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync")
	}
	return startPostgres(&Server{}, c, follow)
}

// Promote makes a standby a server of its own, and returns when it takes writes.
func (s *Server) Promote() error {
	return Execute(context.Background(), s.url, "SELECT pg_promote(true, 60)")
}

// startPostgres starts a server on a data directory that prepare makes, in the
// server's directory or, where it has none, in one that ends with it.
func startPostgres(s *Server, c PostgresConfig, prepare func(s *Server, bin string, as *account) error) (*Server, error) {
	bin, version, err := findPostgres()
	if err != nil {
		return nil, err
	}
	as, err := postgresAccount()
	if err != nil {
		return nil, err
	}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp(c.TempDir, "analytics-postgres-"); err != nil {
			return nil, fmt.Errorf("making a directory: %w", err)
		}
	}
	s.version, s.kind = version, postgresKind(bin, as, c.Settings)
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
	filler, err := supervise(s.dir, s.kept, "TERM", s.Log(), as, program...)
	if err != nil {
		return err
	}
	PollUntil(readyTimeout, func() bool { return !running(filler.pid) })
	filler.end(true) // which stops it, should it still run
	// Both initdb and pg_basebackup delete what they made when they fail or are stopped.
	if _, err := os.Stat(filepath.Join(s.dir, "data", "PG_VERSION")); err != nil {
		log, _ := os.ReadFile(s.Log()) // best effort: the error is the other one
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

// WithDatabase returns a server's URL with another database.
func WithDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic(err) // we wrote it
	}
	u.Path = "/" + name
	return u.String()
}

// statementTimeout bounds what hangs: a loaded machine may copy a database, or write a
// checkpoint, for a long time.
const statementTimeout = 2 * time.Minute

// Connect connects to a database.
func Connect(ctx context.Context, url string) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	return conn, nil
}

// Execute executes statements on a connection of their own, each by itself.
func Execute(ctx context.Context, url string, statements ...string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	conn, err := Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}
