package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"

	"highload.example/analytics/impl/event"
)

// network connects a store with servers in memory. A test in a bubble (testing/synctest)
// can so measure by a clock that stands while anything is at work.
type network struct {
	mu       sync.Mutex
	accepted int  // connections so far
	lost     int  // so many of them, the oldest, are half-open: what is sent gets lost
	down     bool // all of them are
}

// dial is a pgconn.DialFunc.
func (n *network) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	n.mu.Lock()
	n.accepted++
	number := n.accepted
	n.mu.Unlock()
	go n.serve(server, number)
	return client, nil
}

// fail lets nothing through any more.
func (n *network) fail() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = true
}

// recover lets through what is sent on new connections.
func (n *network) recover() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down, n.lost = false, n.accepted
}

func (n *network) halfOpen(number int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.down || number <= n.lost
}

// serve answers logins and simple queries. A prepared statement is one that takes for ever.
func (n *network) serve(conn net.Conn, number int) {
	defer conn.Close()
	backend := pgproto3.NewBackend(conn, conn)
	for started := false; ; started = true {
		var (
			message pgproto3.Message
			err     error
		)
		if started {
			message, err = backend.Receive()
		} else {
			message, err = backend.ReceiveStartupMessage()
		}
		if err != nil {
			return
		}
		if n.halfOpen(number) {
			_, _ = io.Copy(io.Discard, conn) // until the client closes it
			return
		}
		switch message.(type) {
		case *pgproto3.StartupMessage:
			backend.Send(&pgproto3.AuthenticationOk{})
			backend.Send(&pgproto3.BackendKeyData{ProcessID: uint32(number), SecretKey: []byte("key!")})
		case *pgproto3.Query:
			backend.Send(&pgproto3.EmptyQueryResponse{})
		case *pgproto3.CancelRequest, *pgproto3.Terminate:
			return
		default:
			continue
		}
		backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if err := backend.Flush(); err != nil {
			return
		}
	}
}

// openOn returns a store whose connections go through n.
func (n *network) openOn(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{URL: "postgres://u@192.0.2.1/db?sslmode=disable", MaxConns: 6, dial: n.dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// probe probes within a time-out, and says how long it took.
func probe(t *testing.T, s *Store, timeout time.Duration) (took time.Duration, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	began := time.Now()
	err = s.Probe(ctx)
	return time.Since(began), err
}

// When all connections are dead without a sign of it, one probe is lost, and not one for
// each of them.
func TestHalfOpenConnectionsCostOneProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		s := n.openOn(t)
		var idle []*pgxpool.Conn
		for range 4 {
			conn, err := s.pool.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			idle = append(idle, conn)
		}
		for _, conn := range idle {
			conn.Release()
		}
		n.fail()
		n.recover()
		if took, err := probe(t, s, 200*time.Millisecond); !errors.Is(err, event.ErrUnavailable) || took != 200*time.Millisecond {
			t.Fatalf("the first probe, after %v: %v", took, err)
		}
		if took, err := probe(t, s, time.Second); err != nil || took != 0 {
			t.Fatalf("the second probe, after %v: %v", took, err)
		}
	})
}

// Connections that were given up while nothing came through hold no places for long when
// it does again, though nobody ever hangs up on them.
func TestGoodbyesInAnOutageAreShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		s := n.openOn(t)
		ctx, giveUp := context.WithCancel(t.Context())
		waiting := int(s.Stat().Max) // all there are
		answers := make(chan error, waiting)
		for range waiting {
			go func() {
				_, err := s.InstallationID(ctx) // which is never answered
				answers <- err
			}()
		}
		synctest.Wait()
		if inUse := int(s.Stat().InUse); inUse != waiting {
			t.Fatalf("%d connections are in use, want %d", inUse, waiting)
		}
		n.fail()
		giveUp()
		for range waiting {
			if err := <-answers; !errors.Is(err, context.Canceled) {
				t.Errorf("a statement that was given up: %v", err)
			}
		}
		synctest.Wait()
		n.recover()
		// A second to have the statement cancelled, and one to end.
		if took, err := probe(t, s, time.Minute); err != nil || took > 2*time.Second {
			t.Errorf("a probe, after %v: %v", took, err)
		}
	})
}
