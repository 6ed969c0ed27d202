package app

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// timedPair returns both ends of a connection; the first has swept deadlines.
func timedPair(t *testing.T) (*timedConn, net.Conn) {
	t.Helper()
	listener, err := listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close() // some tests have
		if err := errors.Join(conn.Close(), listener.Close()); err != nil {
			t.Error(err)
		}
		listener.release()
	})
	return conn.(*timedConn), client
}

func TestDeadlinesEndReadsAndAreTakenBack(t *testing.T) {
	t.Parallel()
	conn, client := timedPair(t)
	buffer := make([]byte, 1)
	read := func() error { _, err := conn.Read(buffer); return err }
	for _, past := range []time.Time{time.Now().Add(time.Millisecond), time.Unix(1, 0)} {
		if err := conn.SetReadDeadline(past); err != nil {
			t.Fatal(err)
		}
		if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("past its deadline a read returned %v", err)
		}
		if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("and then %v", err)
		}
		// Without a deadline, or with a later one, it reads again.
		for _, later := range []time.Time{{}, time.Now().Add(time.Hour)} {
			if err := conn.SetReadDeadline(later); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if err := read(); err != nil {
				t.Errorf("with a deadline of %v: %v", later, err)
			}
		}
	}
}

func TestDeadlinesEndWrites(t *testing.T) {
	t.Parallel()
	conn, _ := timedPair(t) // nobody reads
	if err := conn.SetDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := conn.Write(make([]byte, 1<<20)); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a write ended with %v", err)
			}
			return
		}
	}
}

// TestSweepsLeaveTheInTimeAlone: what was set meanwhile counts, not what passed.
func TestSweepsLeaveTheInTimeAlone(t *testing.T) {
	t.Parallel()
	conn, client := timedPair(t)
	if err := conn.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	conn.sweeper.sweep(time.Now().Add(time.Minute))
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	conn.sweeper.mu.Lock()
	known := len(conn.sweeper.conns)
	conn.sweeper.mu.Unlock()
	if known != 1 {
		t.Errorf("%d connections are swept", known)
	}
}

// TestQuietConnectionsDontWaitForTheirClient: a read of one byte, with which
// net/http waits for the client to go away, returns at once, and others are as ever.
func TestQuietConnectionsDontWaitForTheirClient(t *testing.T) {
	t.Parallel()
	conn, client := timedPair(t)
	conn.Quiet(true)
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if _, err := client.Write([]byte("ab")); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("with data there: read %d bytes, %v", n, err)
	}
	if n, err := conn.Read(make([]byte, 2)); n == 0 || err != nil {
		t.Errorf("more than a byte: read %d, %v", n, err)
	}
	conn.Quiet(false)
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Error(err)
	}
}
