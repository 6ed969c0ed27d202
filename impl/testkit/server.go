package testkit

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Server is a PostgreSQL or Redis server of a test's own. Its methods fail the
// test when they can't do what they say.
type Server struct {
	t       testing.TB // nil for shared ones
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

// startTimes is how often a start is tried: a port that was free can be taken
// before the server binds it.
const startTimes = 5

// launch makes the first start, on a port that it chooses.
func (s *Server) launch() error {
	var err error
	for range startTimes {
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.start(); err == nil {
			return nil
		}
	}
	return err
}

func (s *Server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child != nil {
		return fmt.Errorf("%s is running already", s.kind.name)
	}
	c, err := supervise(s.dir, s.kept, s.kind.stopSignal, s.log(), s.kind.as, s.kind.command(s.dir, s.port)...)
	if err != nil {
		return err
	}
	var notReady error
	poll(readyTimeout, func() bool {
		notReady = s.kind.ready(s.dir, s.port, c.pid)
		return notReady == nil || !running(c.pid)
	})
	if notReady != nil {
		c.end(true)
		log, _ := os.ReadFile(s.log()) // best effort: the error is the other one
		return fmt.Errorf("%s didn't start on port %d: %w\n%s", s.kind.name, s.port, notReady, log)
	}
	s.child = c
	return nil
}

// log is the file that takes what the server prints.
func (s *Server) log() string { return filepath.Join(s.dir, "server.log") }

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

// remove ends the server and deletes what it left, unless that is to be kept.
func (s *Server) remove() {
	s.end(s.kept)
	if !s.kept {
		_ = os.RemoveAll(s.dir) // the supervisor did, unless it was stopped
	}
}

// Stop ends the server in order but at once: PostgreSQL by an immediate
// shutdown, Redis without saving. It ends a paused server too.
func (s *Server) Stop() { s.t.Helper(); s.end(true) }

// Start starts the server again, with the port and the data that it had.
func (s *Server) Start() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatalf("testkit: %v", err)
	}
}

// Kill ends the server and its children as a power cut would, and returns when
// all are gone. Frozen first, the server can't make a child that is overlooked.
func (s *Server) Kill() {
	s.t.Helper()
	if err := s.Crash(); err != nil {
		s.t.Fatalf("testkit: %v", err)
	}
}

// Pause freezes the server and its children: it keeps its connections, takes new
// ones as far as the system does that for it, and answers nothing.
func (s *Server) Pause() { s.t.Helper(); s.pause() }

// Resume unfreezes it.
func (s *Server) Resume() {
	s.t.Helper()
	if err := s.Unfreeze(); err != nil {
		s.t.Fatalf("testkit: %v", err)
	}
}

// started reports whether the server was started and not ended since.
func (s *Server) started() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.child != nil
}

// pause freezes the server's processes and returns their pids.
func (s *Server) pause() []int {
	s.t.Helper()
	pids, err := s.freeze()
	if err != nil {
		s.t.Fatalf("testkit: %v", err)
	}
	return pids
}

func (s *Server) freeze() ([]int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pid, err := s.pid()
	if err != nil {
		return nil, err
	}
	return freeze(pid)
}

// pid returns the server's own pid. The caller holds the lock.
func (s *Server) pid() (int, error) {
	if s.child == nil {
		return 0, fmt.Errorf("%s isn't running", s.kind.name)
	}
	return s.child.pid, nil
}

// own makes the server the test's: it ends with the test.
func (s *Server) own(t testing.TB) *Server {
	s.t = t
	t.Cleanup(s.remove)
	return s
}
