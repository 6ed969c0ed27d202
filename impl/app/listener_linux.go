package app

import (
	"fmt"
	"math"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// refuseConnections makes the kernel drop what begins a connection, by a socket
// filter (socket(7), SO_ATTACH_FILTER). Connections that are under way are
// completed and wait to be accepted; who begins one now tries again within a
// second, and is refused when the listener is closed by then.
func refuseConnections(l *net.TCPListener) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return fmt.Errorf("reaching the listener's socket: %w", err)
	}
	// What the filter sees begins with the TCP header (RFC 9293, section 3.1).
	const flagsOffset, syn = 13, 0x02
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flagsOffset},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: syn},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: syn, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: math.MaxUint32}, // keep it all
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},              // drop it
	}
	var attached error
	err = raw.Control(func(fd uintptr) {
		attached = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
	if err == nil {
		err = attached
	}
	if err != nil {
		return fmt.Errorf("refusing connections: %w", err)
	}
	return nil
}

// maxUnsent is how many bytes of an answer the kernel holds of a connection beyond what
// is on its way to the client. Without it, it takes megabytes for one who never reads.
const maxUnsent = 128 << 10

// limitUnsent bounds what is held of the connections that a listener accepts
// (tcp(7), TCP_NOTSENT_LOWAT). A kernel that doesn't know it, as some sandboxes' don't,
// holds what it likes.
func limitUnsent(raw syscall.RawConn) error {
	err := raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
	})
	if err != nil {
		return fmt.Errorf("bounding what isn't sent: %w", err)
	}
	return nil
}
