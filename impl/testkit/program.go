package testkit

import "syscall"

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
