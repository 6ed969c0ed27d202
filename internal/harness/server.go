package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Server is a PostgreSQL or Redis server of the caller's own. Remove ends it; should the
// caller be killed before, it ends all the same.
type Server struct {
	kind    kind
	dir     string
	kept    bool // the files in dir outlive the server, and us
	port    int
	url     string
	version string

	mu    sync.Mutex
	child *child // nil while stopped
}

// kind is what differs between the two.
type kind struct {
	name       string
	stopSignal string // what stops it at once but in order
	as         *account
	command    func(dir string, port int) []string
	// ready returns nil once the server with this directory and pid answers on
	// the port. It must not take another server there for ours.
	ready func(dir string, port, pid int) error
}

// readyTimeout is generous: on a loaded machine a start can take seconds.
const readyTimeout = 60 * time.Second

// URL returns where the server is.
func (s *Server) URL() string { return s.url }

// Version returns the version that the server's program says it has.
func (s *Server) Version() string { return s.version }

// Log returns the path of the file that gets what the server prints.
func (s *Server) Log() string { return filepath.Join(s.dir, "server.log") }

// Port returns the port of 127.0.0.1 that the server listens on, also after a restart.
func (s *Server) Port() int { return s.port }

// Dir returns the directory that holds all of the server's files.
func (s *Server) Dir() string { return s.dir }

// PID returns the pid of the server's first process. The error says that the server isn't
// running.
func (s *Server) PID() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid()
}

// pid needs the lock.
func (s *Server) pid() (int, error) {
	if s.child == nil {
		return 0, fmt.Errorf("%s isn't running", s.kind.name)
	}
	return s.child.pid, nil
}

// startTimes is how often a start is tried: a port that was free can be taken
// before the server binds it.
const startTimes = 5

// launch makes the first start, on a port that it chooses.
func (s *Server) launch() error {
	var err error
	for range startTimes {
		if s.port, err = FreePort(); err != nil {
			return err
		}
		if err = s.Start(); err == nil {
			return nil
		}
	}
	return err
}

// Start starts the server again, on the port and with the data that it had.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child != nil {
		return fmt.Errorf("%s is running already", s.kind.name)
	}
	c, err := supervise(s.dir, s.kept, s.kind.stopSignal, s.Log(), s.kind.as, s.kind.command(s.dir, s.port)...)
	if err != nil {
		return err
	}
	var notReady error
	PollUntil(readyTimeout, func() bool {
		notReady = s.kind.ready(s.dir, s.port, c.pid)
		return notReady == nil || !running(c.pid)
	})
	if notReady != nil {
		c.end(true)
		log, _ := os.ReadFile(s.Log()) // best effort: the error is the other one
		return fmt.Errorf("%s didn't start on port %d: %w\n%s", s.kind.name, s.port, notReady, log)
	}
	s.child = c
	return nil
}

// Stop ends the server in order but at once: PostgreSQL by an immediate
// shutdown, Redis without saving. It ends a paused server too. The files stay.
func (s *Server) Stop() { s.end(true) }

// end stops the server if it runs.
func (s *Server) end(keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		return
	}
	s.child.end(keep)
	s.child = nil
}

// Remove ends the server, even when it is paused, and deletes its files, unless they were
// to be kept.
func (s *Server) Remove() {
	s.end(s.kept)
	if !s.kept {
		_ = os.RemoveAll(s.dir) // the supervisor did, unless the server was stopped
	}
}

// Kill ends the server and its children as a power cut would, and returns when
// all are gone. Paused first, the server can't make a child that is overlooked.
// A server that isn't running is left as it is.
func (s *Server) Kill() error {
	if !s.started() {
		return nil
	}
	pids, err := s.pause()
	if err != nil {
		return err
	}
	if err := send(syscall.SIGKILL, pids...); err != nil {
		return err
	}
	s.end(true)
	if !PollUntil(readyTimeout, func() bool { return !slices.ContainsFunc(pids, running) }) {
		return fmt.Errorf("%s survived SIGKILL", s.kind.name)
	}
	return nil
}

// started reports whether the server was started and not ended since.
func (s *Server) started() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.child != nil
}

// Pause stops the server's processes (SIGSTOP): it keeps its connections, takes new
// ones as far as the system does that for it, and answers nothing.
func (s *Server) Pause() error {
	_, err := s.pause()
	return err
}

// pause returns the pids of what it stopped.
func (s *Server) pause() ([]int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pid, err := s.pid()
	if err != nil {
		return nil, err
	}
	return pauseFamily(pid)
}

// Resume lets a paused server go on.
func (s *Server) Resume() error {
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
