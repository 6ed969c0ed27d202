package testkit

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is a PostgreSQL or Redis server of a test's own. Its methods fail the
// test when they can't do what they say.
type Server struct {
	t       testing.TB // nil for shared ones
	kind    kind
	dir     string
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
	ready      func(port int) error
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
	logFile := s.dir + "/server.log"
	c, err := supervise(s.dir, s.kind.stopSignal, logFile, s.kind.as, s.kind.command(s.dir, s.port)...)
	if err != nil {
		return err
	}
	var last error
	alive := true
	ready := poll(readyTimeout, func() bool {
		last = s.kind.ready(s.port)
		alive = last == nil || syscall.Kill(c.pid, 0) == nil
		return last == nil || !alive
	})
	if !ready || !alive {
		c.end(true)
		log, _ := os.ReadFile(logFile) // best effort: the error is the other one
		return fmt.Errorf("%s didn't start on port %d: %w\n%s", s.kind.name, s.port, last, log)
	}
	s.child = c
	return nil
}

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

// remove ends the server and deletes what it left.
func (s *Server) remove() {
	s.end(false)
	_ = os.RemoveAll(s.dir) // the supervisor did, unless it was stopped
}

// Stop ends the server in order but at once: PostgreSQL by an immediate
// shutdown, Redis without saving.
func (s *Server) Stop() { s.t.Helper(); s.end(true) }

// Start starts the server again, with the port and the data that it had.
func (s *Server) Start() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
}

// Kill ends the server and its children as a power cut would.
func (s *Server) Kill() {
	s.t.Helper()
	s.mu.Lock()
	c := s.child
	s.mu.Unlock()
	if c == nil {
		return
	}
	family := c.family()
	for _, pid := range family {
		_ = syscall.Kill(pid, syscall.SIGKILL) // one that is gone already is fine
	}
	s.end(true)
	if !gone(family) {
		s.t.Fatalf("%s survived SIGKILL", s.kind.name)
	}
}

// Pause freezes the server: it keeps its connections and answers nothing.
func (s *Server) Pause() { s.t.Helper(); s.signal(syscall.SIGSTOP) }

// Resume unfreezes it.
func (s *Server) Resume() { s.t.Helper(); s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		s.t.Fatalf("%s isn't running", s.kind.name)
	}
	if err := s.child.signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

// own makes the server the test's: it ends with the test.
func (s *Server) own(t testing.TB) *Server {
	s.t = t
	t.Cleanup(func() {
		s.mu.Lock()
		if s.child != nil {
			_ = s.child.signal(syscall.SIGCONT) // a frozen server can't be asked to stop
		}
		s.mu.Unlock()
		s.remove()
	})
	return s
}
