//go:build !linux

package app

import (
	"net"
	"syscall"
)

// refuseConnections can't be had here: a connection that arrives in the moment
// before the listener closes is reset.
func refuseConnections(*net.TCPListener) error { return nil }

// limitUnsent leaves it to the system how much of an answer it holds.
func limitUnsent(syscall.RawConn) error { return nil }
