package postgres

import (
	"context"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// goodbye is how long a connection that was given up may take to say so, once to have its
// statement cancelled and once to end. The driver gives it 15 s, and the pool its place for
// as long: after an outage in which nothing was hung up, all places were taken by
// connections that waited for an answer to their goodbye, and nobody could connect anew.
const goodbye = time.Second

// hurried returns a dialer whose connections say goodbye in time.
func hurried(dial pgconn.DialFunc, connectTimeout time.Duration) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		// Who connects has connectTimeout; only a goodbye has longer.
		deadline, bounded := ctx.Deadline()
		leaving := bounded && time.Until(deadline) > connectTimeout+goodbye
		if leaving {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, goodbye)
			defer cancel()
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if leaving {
			err = conn.SetDeadline(time.Now().Add(goodbye))
		}
		return &hurriedConn{Conn: conn}, err
	}
}

// hurriedConn is a connection to the database. The driver gives none a deadline in the
// future but for its goodbye.
type hurriedConn struct{ net.Conn }

// SetDeadline implements net.Conn.
func (c *hurriedConn) SetDeadline(t time.Time) error {
	if latest := time.Now().Add(goodbye); t.After(latest) {
		t = latest
	}
	return c.Conn.SetDeadline(t)
}
