package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// drainable is a listener that can be closed without a connection that was
// established going unanswered. Under load there are always some that the
// kernel holds and nobody has accepted yet, and closing resets them; and
// http.Server.Shutdown hangs up on those whose first request it reads after it was
// called.
type drainable struct {
	*net.TCPListener
	fresh    atomic.Int64 // accepted connections whose first request hasn't been read
	closed   sync.Once
	draining atomic.Bool
	drained  chan struct{} // closed when nothing more is accepted
	sweeper  *sweeper      // of the connections' deadlines
}

func listen(ctx context.Context, addr string) (*drainable, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // its sockets take no filter, which draining needs
	config.Control = func(_, _ string, raw syscall.RawConn) error { return limitUnsent(raw) }
	listener, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	return &drainable{TCPListener: listener.(*net.TCPListener), drained: make(chan struct{}), sweeper: newSweeper()}, nil
}

// drainStep is how long no connection may have arrived for the queue to count as
// empty.
const drainStep = 20 * time.Millisecond

// Accept waits for a connection; once drain was called, no longer than it
// takes to find that none is left, and then it closes the listener.
func (l *drainable) Accept() (net.Conn, error) {
	for {
		draining := l.draining.Load()
		if draining {
			if err := l.SetDeadline(time.Now().Add(drainStep)); err != nil {
				return nil, fmt.Errorf("draining: %w", err)
			}
		}
		conn, err := l.AcceptTCP()
		if err == nil {
			l.fresh.Add(1)
			timed := l.sweeper.adopt(conn)
			timed.fresh = true
			return timed, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err //nolint:wrapcheck // net/http looks into it
		}
		if draining { // and not just woken up to notice
			err := l.Close()
			close(l.drained)
			return nil, errors.Join(net.ErrClosed, err)
		}
	}
}

// Close closes the listener. Closing again is harmless: net/http does.
func (l *drainable) Close() (err error) {
	l.closed.Do(func() { err = l.TCPListener.Close() })
	return err
}

// release ends what serves the connections. There are none any more.
func (l *drainable) release() { l.sweeper.close() }

// drain makes Accept return what the kernel holds and then close the listener, and
// waits until the first request of every connection is being served. It returns
// when that is done or ctx ends.
func (l *drainable) drain(ctx context.Context) error {
	// Without it there is still only a short moment to be unlucky in.
	refused := refuseConnections(l.TCPListener)
	// Wakes an Accept that waits. The flag comes after it: the deadline that
	// Accept then sets for itself must be the last.
	if err := l.SetDeadline(time.Now()); errors.Is(err, net.ErrClosed) {
		return nil
	} else if err != nil {
		return fmt.Errorf("draining the listener: %w", err)
	}
	l.draining.Store(true)
	select {
	case <-l.drained:
	case <-ctx.Done():
		return fmt.Errorf("draining the listener: %w", ctx.Err())
	}
	// Who connected has a moment to say something. Some never do: browsers
	// connect ahead of need.
	patience := time.NewTimer(freshPatience)
	defer patience.Stop()
	ticker := time.NewTicker(freshPatience / 200)
	defer ticker.Stop()
	for l.fresh.Load() > 0 {
		select {
		case <-ticker.C:
		case <-patience.C:
			return refused
		case <-ctx.Done():
			return fmt.Errorf("awaiting first requests: %w", ctx.Err())
		}
	}
	return refused
}

// freshPatience is how long a connection that has sent nothing delays the end.
const freshPatience = time.Second

// connState is the server's hook: a connection that leaves its first state is no
// longer fresh.
func (l *drainable) connState(conn net.Conn, state http.ConnState) {
	c, ok := conn.(*timedConn)
	if ok && c.fresh && state != http.StateNew {
		c.fresh = false
		l.fresh.Add(-1)
	}
}
