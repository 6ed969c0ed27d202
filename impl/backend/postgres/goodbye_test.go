package postgres

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// A connection on which nothing comes any more is left in time, and so is one that is
// made to have a statement cancelled; one that works has no deadline.
func TestGoodbyesAreShort(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	var dialer net.Dialer
	dial := hurried(dialer.DialContext, 5*time.Second)
	connect := func(timeout time.Duration) net.Conn {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		conn, err := dial(ctx, "tcp", silent.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	const driver = 15 * time.Second // gives that to a goodbye
	working, cancelling := connect(5*time.Second), connect(driver)
	began := time.Now()
	if _, err := cancelling.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("cancelling: %v", err)
	}
	if err := working.SetDeadline(time.Now().Add(driver)); err != nil {
		t.Fatal(err)
	}
	if _, err := working.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) > driver {
		t.Errorf("leaving, after %v: %v", time.Since(began), err)
	}
}
