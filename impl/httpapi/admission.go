package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"highload.example/analytics/impl/event"
)

// admission bounds what all requests together take: how many are being worked on,
// and the memory of their bodies. What is beyond is refused at once, so that those
// who were let in are served at the pace that the service has.
//
// A request takes its place when its body is there, not before: who sends slowly
// holds the bytes that came, and no place.
type admission struct {
	maxRequests int64
	maxBytes    int64
	metrics     Metrics

	requests atomic.Int64
	bytes    atomic.Int64
}

// smallBody is the size in bytes up to which a body may use the last quarter of
// the memory: a few senders of large bodies can't keep out everybody else.
const smallBody = MaxEventBytes

// ticket is what one request takes. Its zero value takes nothing.
type ticket struct {
	admission *admission
	admitted  bool
	bytes     int64
	quiet     Conn // to be told that the client counts again; nil: it wasn't told otherwise
}

// admit takes a place among the requests being worked on, unless the request has
// one. The error matches event.ErrBusy.
func (t *ticket) admit() error {
	a := t.admission
	if a == nil || t.admitted {
		return nil
	}
	if n := a.requests.Add(1); n > a.maxRequests {
		a.requests.Add(-1)
		a.metrics.RequestRefused("requests")
		return fmt.Errorf("%w: %d requests are being worked on", event.ErrBusy, a.maxRequests)
	}
	t.admitted = true
	return nil
}

// charge notes n more bytes of the request's body. The error matches event.ErrBusy.
func (t *ticket) charge(n int) error {
	a := t.admission
	if a == nil || n == 0 {
		return nil
	}
	t.bytes += int64(n)
	limit := a.maxBytes
	if t.bytes > smallBody {
		limit -= limit / 4
	}
	if a.bytes.Add(int64(n)) > limit {
		a.metrics.RequestRefused("bytes")
		return fmt.Errorf("%w: the bodies of the requests under way take all the memory there is for them", event.ErrBusy)
	}
	return nil
}

// release gives back what was taken.
func (t *ticket) release() {
	if t.quiet != nil {
		t.quiet.Quiet(false)
		t.quiet = nil
	}
	a := t.admission
	if a == nil {
		return
	}
	if t.admitted {
		a.requests.Add(-1)
	}
	if t.bytes > 0 {
		a.bytes.Add(-t.bytes)
	}
	*t = ticket{}
}

// ticketOf finds the request's ticket.
func ticketOf(w http.ResponseWriter) *ticket {
	for {
		switch v := w.(type) {
		case *recorder:
			return &v.ticket
		case interface{ Unwrap() http.ResponseWriter }:
			w = v.Unwrap()
		default:
			return &ticket{}
		}
	}
}

// admitted lets requests without a body in, or answers 503. The others are let in
// when their body is there.
type admitted struct {
	next     http.Handler
	problems *problems
}

// ServeHTTP serves the request, if there is a place for it.
func (a *admitted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if (r.Body == nil || r.Body == http.NoBody) && !exempt(r.URL.Path) {
		if err := ticketOf(w).admit(); err != nil {
			a.problems.write(w, r, err)
			return
		}
	}
	a.next.ServeHTTP(w, r)
}

// limitedBody is a request's body: no longer than allowed, its bytes charged as
// they come, and at its end the request is let in or refused.
type limitedBody struct {
	source io.ReadCloser
	ticket *ticket
	limit  int64
	read   int64
}

// Read reads from the body. Errors are io.EOF, io.ErrUnexpectedEOF, those of gunzip,
// a *http.MaxBytesError, a time-out, or a *framingError, or match event.ErrBusy.
func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.source.Read(p)
	if b.read += int64(n); b.read > b.limit {
		return 0, &http.MaxBytesError{Limit: b.limit}
	}
	if busy := b.ticket.charge(n); busy != nil {
		return n, busy
	}
	if errors.Is(err, io.EOF) {
		if busy := b.ticket.admit(); busy != nil {
			return n, busy
		}
	}
	return n, framed(err)
}

// framed makes a *framingError of what net/http has no type for: chunks that are
// none, or a connection that broke.
func framed(err error) error {
	var (
		tooLarge *http.MaxBytesError
		encoding *encodingError
		timeout  interface{ Timeout() bool }
	)
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.As(err, &tooLarge), errors.As(err, &encoding), errors.As(err, &timeout) && timeout.Timeout():
		return err
	}
	return &framingError{err: err}
}

// Close closes the source.
func (b *limitedBody) Close() error { return b.source.Close() }
