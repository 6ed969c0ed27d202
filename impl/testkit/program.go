package testkit

import (
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
)

// LaunchPostgres starts a server for a program that is no test, with settings
// like "fsync=on" over the kit's own, which are those of a database that nobody
// will miss. Its URL names the database postgres, which is empty. The caller calls
// Remove; if it can't, because it was killed, the server ends all the same.
func LaunchPostgres(settings ...string) (*Server, error) { return newPostgres(settings...) }

// LaunchPostgresIn is LaunchPostgres with the files in a directory, which is made if
// it is missing. They stay when the server ends, for the next one there.
func LaunchPostgresIn(dir string, settings ...string) (*Server, error) {
	return keptPostgres(dir, settings...)
}

// LaunchStandby starts a server that follows another PostgreSQL, from a copy of its
// data, and that the other one knows as name. Promote ends the following.
func LaunchStandby(primary *Server, name string, settings ...string) (*Server, error) {
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
	return startPostgres(&Server{}, follow, settings...)
}

// Promote makes a standby a server of its own, and returns when it takes writes.
func (s *Server) Promote() error {
	return execute(s.url, "SELECT pg_promote(true, 60)")
}

// LaunchRedis starts a server for a program that is no test, with more arguments
// for redis-server if need be. The caller calls Remove, as for LaunchPostgres.
func LaunchRedis(args ...string) (*Server, error) {
	s, err := newRedis(args...)
	if err != nil {
		return nil, err
	}
	s.url += "/0"
	return s, nil
}

// Remove ends the server, even when it is frozen, and deletes its files, unless they were
// to stay.
func (s *Server) Remove() { s.remove() }

// Version returns the version that the server's program says it has.
func (s *Server) Version() string { return s.version }

// Log returns the file that takes what the server prints.
func (s *Server) Log() string { return s.log() }

// PID returns the pid of the server's first process. The error says that the
// server isn't running.
func (s *Server) PID() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid()
}

// Port returns the port of 127.0.0.1 that the server listens on, also after a restart.
func (s *Server) Port() int { return s.port }

// Dir returns the directory that holds all of the server's files.
func (s *Server) Dir() string { return s.dir }

// Halt is Stop for a program that is no test.
func (s *Server) Halt() { s.end(true) }

// Restart is Start for a program that is no test.
func (s *Server) Restart() error { return s.start() }

// Crash is Kill for a program that is no test.
func (s *Server) Crash() error {
	if !s.started() {
		return nil
	}
	pids, err := s.freeze()
	if err != nil {
		return err
	}
	if err := send(syscall.SIGKILL, pids...); err != nil {
		return err
	}
	s.end(true)
	if !poll(readyTimeout, func() bool { return !slices.ContainsFunc(pids, running) }) {
		return fmt.Errorf("%s survived SIGKILL", s.kind.name)
	}
	return nil
}

// Freeze is Pause for a program that is no test.
func (s *Server) Freeze() error {
	_, err := s.freeze()
	return err
}

// Unfreeze is Resume for a program that is no test.
func (s *Server) Unfreeze() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	pid, err := s.pid()
	if err != nil {
		return err
	}
	pids, err := family(pid)
	if err != nil {
		return err
	}
	return send(syscall.SIGCONT, pids...)
}
