package analytics

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// What Track says about an event that it didn't take. The event is counted and, but for ErrClosed, its outcome told, too.
var (
	// ErrClosed: the client was closed before.
	ErrClosed = errors.New("analytics: the client is closed")
	// ErrQueueFull: the event was dropped, as Options.OnFull says.
	ErrQueueFull = errors.New("analytics: the queue is full")
	// ErrPayload: the payload can't be made a JSON object.
	ErrPayload = errors.New("analytics: the payload can't be sent")
	// ErrTooLarge: the event is larger than the contract allows.
	ErrTooLarge = errors.New("analytics: the event is too large")
)

// UnsettledError says that Flush or Close ended before everything was settled.
type UnsettledError struct {
	// Events is how many were left.
	Events int
	// OnDisk: they are in Options.QueueDir, for the next client. Else those that Close left are dropped.
	OnDisk bool
	// Err is why: the context's error, or ErrClosed.
	Err error
}

func (e *UnsettledError) Error() string {
	where := ""
	if e.OnDisk {
		where = ", but kept on disk"
	}
	return fmt.Sprintf("analytics: %d events are not delivered%s: %v", e.Events, where, e.Err)
}

func (e *UnsettledError) Unwrap() error { return e.Err }

// Violation is one value that breaks the contract.
type Violation struct {
	// Pointer says where: a JSON Pointer into the event or the question.
	Pointer string `json:"pointer"`
	// Code is the stable name of the rule, like "minimum".
	Code string `json:"code"`
	// Detail is the rule in words.
	Detail string `json:"detail"`
}

// Error is what the server answers when it doesn't do what it was asked (a problem of RFC 9457).
type Error struct {
	// Status is HTTP's, like 422.
	Status int `json:"status"`
	// Code is the stable name of the problem, like "validation_failed"; empty if the answer is from something
	// else than the server, such as a proxy.
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	// Violations lists what is wrong with the question.
	Violations []Violation `json:"errors"`
	// RetryAfter is how long to wait before the next try, if the server said so.
	RetryAfter time.Duration `json:"-"`
}

func (e *Error) Error() string {
	parts := []string{fmt.Sprintf("analytics: the server answered %d", e.Status)}
	for _, part := range []string{e.Code, e.Title, e.Detail} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	text := strings.Join(parts, ": ")
	if len(e.Violations) > 0 {
		text += fmt.Sprintf(": %v", e.Violations)
	}
	return text
}

// String returns the violation in words.
func (v Violation) String() string { return v.Pointer + " " + v.Detail }
