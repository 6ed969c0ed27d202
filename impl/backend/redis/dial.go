package redis

import (
	"context"
	"net"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// dialer is go-redis's own, except that a dial that fails gives a connection on
// which everything fails, for the same reason.
//
// go-redis counts dials that fail. When there were as many as the pool has places
// it dials no more, repeats the last error to everyone, and leaves it to a
// goroutine to try once a second; Close doesn't wait for that one. That keeps a
// Redis that is back away from us for a second, and what it saves is not needed:
// whoever asks here leaves Redis alone for a while after a failure anyway.
func dialer(options *goredis.UniversalOptions) func(ctx context.Context, network, address string) (net.Conn, error) {
	dial := goredis.NewDialer(&goredis.Options{DialTimeout: options.DialTimeout, TLSConfig: options.TLSConfig})
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return undialed{err}, nil //nolint:nilerr // the error is in the connection
		}
		return conn, nil
	}
}

// undialed is a connection that never was.
type undialed struct{ err error }

func (u undialed) Read([]byte) (int, error)         { return 0, u.err }
func (u undialed) Write([]byte) (int, error)        { return 0, u.err }
func (u undialed) Close() error                     { return nil }
func (u undialed) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (u undialed) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (u undialed) SetDeadline(time.Time) error      { return nil }
func (u undialed) SetReadDeadline(time.Time) error  { return nil }
func (u undialed) SetWriteDeadline(time.Time) error { return nil }
