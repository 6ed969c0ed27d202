package httpapi

import (
	"context"
	"net/http"
)

// Conn is a connection that can be told not to watch its client.
type Conn interface {
	// Quiet says whether nobody wants to know if the client goes away before it is
	// answered. It is set while a request is served whose body has a known length.
	Quiet(quiet bool)
}

type connKey struct{}

// WithConn returns the context of a connection's requests. Without it nothing is
// quiet.
func WithConn(ctx context.Context, c Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// hush quiets the request's connection: events on their way into the database
// can't be called back, whoever goes away. Until the ticket is released.
//
// A body of unknown length is left alone: reading it may take a read of a single
// byte, which is how a quiet connection knows what it is to ignore.
func (t *ticket) hush(r *http.Request) {
	if r.ContentLength < 0 {
		return
	}
	if c, ok := r.Context().Value(connKey{}).(Conn); ok {
		c.Quiet(true)
		t.quiet = c
	}
}
