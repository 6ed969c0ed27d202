package generator

import (
	"bufio"
	"context"
	"net"
	"sync"
	"time"
)

// client is one connection that is kept, and made again when it breaks. Its do is
// called by one goroutine at a time.
type client struct {
	address string
	reader  *bufio.Reader
	dialer  net.Dialer

	mu       sync.Mutex // for until, which cuts it off
	conn     net.Conn
	deadline time.Time
}

const (
	readBuffer  = 8 << 10
	dialTimeout = 10 * time.Second
)

func newClient(address string) *client {
	return &client{address: address, reader: bufio.NewReaderSize(nil, readBuffer), dialer: net.Dialer{Timeout: dialTimeout}}
}

// connect makes the connection unless it is there.
func (c *client) connect(ctx context.Context) error {
	if c.conn != nil {
		return nil
	}
	conn, err := c.dialer.DialContext(ctx, "tcp", c.address)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	c.reader.Reset(conn)
	return conn.SetDeadline(c.deadline)
}

// do sends a request and reads the answer. With an error, sent says whether the
// server may have got any of the request.
func (c *client) do(ctx context.Context, request, kept []byte) (answer response, sent bool, err error) {
	if err := c.connect(ctx); err != nil {
		return response{}, false, err
	}
	if _, err = c.conn.Write(request); err == nil {
		answer, err = readResponse(c.reader, kept)
	}
	if err != nil || answer.closes {
		c.close()
	}
	return answer, true, err
}

// until sets the time after which every read and write fails: a deadline for all
// requests costs nothing, one for each would.
func (c *client) until(deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = deadline
	if c.conn != nil {
		_ = c.conn.SetDeadline(deadline) // fails only on a closed connection
	}
}

func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		_ = c.conn.Close() // whatever was to be learnt from it was read
		c.conn = nil
	}
}
