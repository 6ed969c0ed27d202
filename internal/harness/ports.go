package harness

import (
	"context"
	"fmt"
	"net"
	"strconv"
)

// FreePort returns a TCP port that was free a moment ago on every host; without a host,
// on 127.0.0.1.
func FreePort(hosts ...string) (int, error) {
	if len(hosts) == 0 {
		hosts = []string{"127.0.0.1"}
	}
	var last error
	for range 50 {
		port, err := listenOnce(hosts[0], 0)
		if err != nil {
			return 0, err
		}
		last = nil
		for _, host := range hosts[1:] {
			if _, last = listenOnce(host, port); last != nil {
				break
			}
		}
		if last == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no port is free on all of %v: %w", hosts, last)
}

// FreeAddress returns host:port with a port that was free a moment ago.
func FreeAddress(host string) (string, error) {
	port, err := FreePort(host)
	return net.JoinHostPort(host, strconv.Itoa(port)), err
}

// listenOnce listens on a port for a moment; 0 lets the system choose.
func listenOnce(host string, port int) (int, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return 0, fmt.Errorf("finding a free port: %w", err)
	}
	defer func() { _ = listener.Close() }() // it accepted nothing
	return listener.Addr().(*net.TCPAddr).Port, nil
}
