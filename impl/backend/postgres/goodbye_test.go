package postgres

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// A connection on which nothing comes any more is left in time, and so is one that is
// made to have a statement cancelled; one that works has no deadline.
func TestGoodbyesAreShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dial := hurried(func(context.Context, string, string) (net.Conn, error) {
			client, silent := net.Pipe()
			t.Cleanup(func() { silent.Close() })
			return client, nil
		}, 5*time.Second)
		connect := func(timeout time.Duration) net.Conn {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			conn, err := dial(ctx, "tcp", "")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			return conn
		}
		const driver = 15 * time.Second // gives that to a goodbye
		read := func(conn net.Conn) time.Duration {
			t.Helper()
			began := time.Now()
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("reading: %v", err)
			}
			return time.Since(began)
		}
		working, cancelling := connect(5*time.Second), connect(driver)
		if took := read(cancelling); took != time.Second {
			t.Errorf("cancelling took %v", took)
		}
		if err := working.SetDeadline(time.Now().Add(driver)); err != nil {
			t.Fatal(err)
		}
		if took := read(working); took != time.Second {
			t.Errorf("leaving took %v", took)
		}
	})
}
