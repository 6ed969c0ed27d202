package app

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Connections have from their listener how much of an answer the kernel may hold.
func TestUnsentIsLimited(t *testing.T) {
	t.Parallel()
	l, err := listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.release()
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		if n, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT); err != nil || n != maxUnsent {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
