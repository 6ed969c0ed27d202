package app

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// net/http sets five deadlines or more for every request that it serves, nearly
// none of which is ever reached, and each is a timer moved in the runtime. Here a
// deadline is only noted, and a sweep over the connections, a few times a second,
// enforces those that have passed. Deadlines so come late by up to a sweep's
// period, which time-outs of seconds don't mind.

// sweepPeriod is how late a deadline may come.
const sweepPeriod = 200 * time.Millisecond

// timedConn is a connection whose deadlines are swept.
type timedConn struct {
	*net.TCPConn
	sweeper *sweeper
	fresh   bool // its first request hasn't been read; touched by connState alone
	quiet   atomic.Bool

	mu          sync.Mutex
	read, write deadline
}

// deadline is one direction's. What is enforced was handed to the connection, which
// fails until that is taken back.
type deadline struct {
	at       time.Time // zero: none
	enforced bool
}

// Quiet implements httpapi.Conn.
func (c *timedConn) Quiet(quiet bool) { c.quiet.Store(quiet) }

// Read implements net.Conn. While a request is being answered net/http waits for a
// byte, to learn when the client goes away: a read that mostly fails, a wait, and
// two deadlines to end it, for every request. On a quiet connection that byte isn't
// waited for.
func (c *timedConn) Read(p []byte) (int, error) {
	if len(p) == 1 && c.quiet.Load() {
		return 0, nil
	}
	return c.TCPConn.Read(p) //nolint:wrapcheck // net/http looks into it
}

// SetReadDeadline implements net.Conn.
func (c *timedConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read.set(t, c.sweeper.started, c.TCPConn.SetReadDeadline)
}

// SetWriteDeadline implements net.Conn.
func (c *timedConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write.set(t, c.sweeper.started, c.TCPConn.SetWriteDeadline)
}

// SetDeadline implements net.Conn.
func (c *timedConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// Close implements net.Conn.
func (c *timedConn) Close() error {
	c.sweeper.forget(c)
	return c.TCPConn.Close() //nolint:wrapcheck // net/http looks into it
}

// set notes a deadline. One before the server's start is meant to end what waits at
// this moment: net/http does so with a connection that it reads ahead on.
func (d *deadline) set(t, started time.Time, enforce func(time.Time) error) error {
	if d.enforced {
		if err := enforce(time.Time{}); err != nil {
			return err
		}
		d.enforced = false
	}
	d.at = t
	if t.IsZero() || t.After(started) {
		return nil
	}
	d.enforced = true
	return enforce(t)
}

// sweep enforces the deadline if it has passed.
func (d *deadline) sweep(now time.Time, enforce func(time.Time) error) {
	if !d.at.IsZero() && !d.enforced && now.After(d.at) {
		d.enforced = true
		_ = enforce(d.at) // fails on a connection that is closed already
	}
}

// sweeper enforces the deadlines of connections. Use newSweeper, and close it.
type sweeper struct {
	started time.Time

	mu    sync.Mutex
	conns map[*timedConn]struct{}

	stop    chan struct{}
	stopped chan struct{}
}

func newSweeper() *sweeper {
	s := &sweeper{started: time.Now(), conns: map[*timedConn]struct{}{}, stop: make(chan struct{}), stopped: make(chan struct{})}
	go s.run()
	return s
}

// adopt returns the connection with swept deadlines.
func (s *sweeper) adopt(conn *net.TCPConn) *timedConn {
	c := &timedConn{TCPConn: conn, sweeper: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	return c
}

func (s *sweeper) forget(c *timedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *sweeper) run() {
	defer close(s.stopped)
	ticker := time.NewTicker(sweepPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.sweep(time.Now())
		case <-s.stop:
			return
		}
	}
}

func (s *sweeper) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.mu.Lock()
		c.read.sweep(now, c.TCPConn.SetReadDeadline)
		c.write.sweep(now, c.TCPConn.SetWriteDeadline)
		c.mu.Unlock()
	}
}

// close ends the sweeping. Connections that are left keep the deadlines that were
// enforced, and get no more.
func (s *sweeper) close() {
	close(s.stop)
	<-s.stopped
}
