package harness

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// echo is a server that repeats lines, and counts them.
type echo struct {
	address string
	heard   atomic.Int64
	ended   atomic.Int64 // connections
}

func startEcho(t *testing.T) *echo {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{address: listener.Addr().String()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer e.ended.Add(1)
				defer conn.Close()
				lines := bufio.NewScanner(conn)
				lines.Buffer(nil, 4<<20)
				for lines.Scan() {
					e.heard.Add(1)
					if _, err := io.WriteString(conn, lines.Text()+"\n"); err != nil {
						return
					}
				}
			}()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return e
}

func startProxy(t *testing.T, target string) *Proxy {
	t.Helper()
	address, err := FreeAddress("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewProxy("test", address, target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// say says a line and returns what came back within a while.
func say(conn net.Conn, within time.Duration) error {
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 6))
	return err
}

func set(t *testing.T, p *Proxy, s NetworkState, delay time.Duration) {
	t.Helper()
	if err := p.Set(s, delay); err != nil {
		t.Fatal(err)
	}
}

const long, short = time.Minute, 50 * time.Millisecond

func TestNetworkStates(t *testing.T) {
	e := startEcho(t)
	p := startProxy(t, e.address)
	old := dial(t, p)
	if err := say(old, long); err != nil {
		t.Fatalf("fair: %v", err)
	}

	set(t, p, Delayed, 150*time.Millisecond)
	began := time.Now()
	if err := say(old, long); err != nil || time.Since(began) < 300*time.Millisecond {
		t.Errorf("delayed by 150 ms each way, it took %s: %v", time.Since(began), err)
	}
	// What is large takes no longer than what is small: less than a delay for each read.
	const size = 2 << 20
	set(t, p, Delayed, 300*time.Millisecond)
	began = time.Now()
	go func() { _, _ = old.Write(append(bytes.Repeat([]byte{'x'}, size), '\n')) }() // if it fails, nothing comes back
	if err := old.SetReadDeadline(time.Now().Add(long)); err != nil {
		t.Fatal(err)
	}
	if n, err := io.ReadFull(old, make([]byte, size+1)); err != nil || time.Since(began) > 15*time.Second { // one read after the other: 19 s at least
		t.Errorf("%d bytes, delayed by 300 ms each way, took %s: %v", n, time.Since(began), err)
	}
	set(t, p, Healthy, 0)

	heard := e.heard.Load()
	set(t, p, DropResponses, 0)
	if err := say(old, long); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("without an answer: %v", err)
	}
	if e.heard.Load() != heard+1 {
		t.Errorf("without an answer: the server heard %d lines", e.heard.Load()-heard)
	}
	set(t, p, Healthy, 0)

	cut := dial(t, p)
	if err := say(cut, long); err != nil {
		t.Fatal(err)
	}
	p.Cut()
	if _, err := cut.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("cut: %v", err)
	}

	// The server has noticed that both connections are gone.
	if !PollUntil(long, func() bool { return e.ended.Load() == 2 }) {
		t.Fatalf("%d connections ended at the server", e.ended.Load())
	}

	before := dial(t, p)
	if err := say(before, long); err != nil {
		t.Fatal(err)
	}
	heard, ended := e.heard.Load(), e.ended.Load()
	set(t, p, HalfOpen, 0)
	during := dial(t, p)
	for name, conn := range map[string]net.Conn{"before": before, "during": during} {
		if err := say(conn, short); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("half-open, connected %s: %v", name, err)
		}
	}
	if e.heard.Load() != heard || e.ended.Load() != ended {
		t.Error("half-open: the server hears something")
	}
	set(t, p, Healthy, 0)
	if err := say(before, short); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("half-open connections came back to life: %v", err)
	}
	if err := say(dial(t, p), long); err != nil {
		t.Errorf("after half-open: %v", err)
	}

	set(t, p, Refused, 0)
	if _, err := net.Dial("tcp", p.Address()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("refused: %v", err)
	}
	set(t, p, Healthy, 0)
	if err := say(dial(t, p), long); err != nil {
		t.Errorf("after refused: %v", err)
	}
}

func TestProxyRefusesNewConnections(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startEcho(t).address)
	old := dial(t, p)
	must(t, say(old, long))
	set(t, p, RefuseNew, 0)
	if _, err := net.Dial("tcp", p.Address()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a new connection: %v", err)
	}
	if err := say(old, long); err != nil {
		t.Errorf("the old connection: %v", err)
	}
	set(t, p, Healthy, 0)
	if err := say(dial(t, p), long); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A reset stays one, whichever side it comes from, and an orderly end stays that.
func TestProxyPassesResetsOn(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	p := startProxy(t, listener.Addr().String())
	for name, c := range map[string]struct {
		reset bool
		want  error
	}{"a reset": {true, syscall.ECONNRESET}, "an end": {false, io.EOF}} {
		for _, byServer := range []bool{true, false} {
			client := dial(t, p)
			server, err := listener.Accept()
			must(t, err)
			from, to := client, server
			if byServer {
				from, to = server, client
			}
			if c.reset {
				must(t, from.(*net.TCPConn).SetLinger(0))
			}
			must(t, from.Close())
			must(t, to.SetReadDeadline(time.Now().Add(long)))
			if _, err := to.Read(make([]byte, 1)); !errors.Is(err, c.want) {
				t.Errorf("%s, by the server: %t: %v", name, byServer, err)
			}
			_ = to.Close()
		}
	}
}

func TestAProxyLeadsElsewhere(t *testing.T) {
	one, other := startEcho(t), startEcho(t)
	p := startProxy(t, one.address)
	p.SetTarget(other.address)
	if err := say(dial(t, p), long); err != nil || one.heard.Load() != 0 || other.heard.Load() != 1 {
		t.Errorf("%v: the first heard %d, the other %d", err, one.heard.Load(), other.heard.Load())
	}
	p.SetTarget("127.0.0.1:1")
	// It is reset, before or after it could be connected.
	if conn, err := net.Dial("tcp", p.Address()); err == nil {
		if err := say(conn, long); err == nil {
			t.Error("a server that isn't there answered")
		}
		conn.Close()
	}
	if err := Poll(context.Background(), time.Minute, func(context.Context) error {
		if p.Open() > 1 {
			return errors.New("connections are left")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
