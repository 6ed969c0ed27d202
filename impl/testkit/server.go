package testkit

import (
	"testing"

	"highload.example/analytics/internal/harness"
)

// Server is a PostgreSQL or Redis server of a test's own, which ends with the test. When
// a method can't do what it says, the test fails.
type Server struct {
	*harness.Server

	t   testing.TB
	url string
}

// URL returns where the server is, with the database that the test was promised.
func (s *Server) URL() string { return s.url }

// Start starts the server again, on the port and with the data that it had.
func (s *Server) Start() { s.t.Helper(); s.must(s.Server.Start()) }

// Kill ends the server and its children as a power cut would.
func (s *Server) Kill() { s.t.Helper(); s.must(s.Server.Kill()) }

// Pause stops the server's processes: it keeps its connections and answers nothing.
func (s *Server) Pause() { s.t.Helper(); s.must(s.Server.Pause()) }

// Resume lets a paused server go on.
func (s *Server) Resume() { s.t.Helper(); s.must(s.Server.Resume()) }

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("testkit: %v", err)
	}
}
