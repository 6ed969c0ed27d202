//go:build !linux

package app

import "net"

// refuseConnections can't be had here: a connection that arrives in the moment
// before the listener closes is reset.
func refuseConnections(*net.TCPListener) error { return nil }
