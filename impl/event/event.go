// Package event is the vocabulary that every other package speaks: what an
// event is, what identifies it, what became of it, and the few errors that
// can be told apart. It imports nothing but the standard library.
package event

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ID is the client's or the server's UUID for an event, in RFC 9562 byte order.
// The zero value means "not given".
type ID [16]byte

// IsZero reports whether no ID was given (the nil UUID is not a valid ID).
func (id ID) IsZero() bool { return id == ID{} }

// String returns the canonical form: 36 characters, lower case.
func (id ID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// ParseID reads what String writes. Errors match ErrInvalid.
func ParseID(text string) (ID, error) {
	var id ID
	if len(text) == 36 {
		digits := text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
		if _, err := hex.Decode(id[:], []byte(digits)); err == nil && id.String() == text {
			return id, nil
		}
	}
	return ID{}, fmt.Errorf("not a UUID in canonical form: %w", ErrInvalid)
}

// Event is one thing that a user did.
type Event struct {
	UserID     int64  // at least 1
	OccurredAt int64  // Unix seconds, UTC
	ID         ID     // together with UserID and OccurredAt the event's identity
	Type       string // 1 to 128 ASCII characters
	Payload    []byte // a JSON object as the client sent it; nil means absent
}

// Key is an event's identity: two events with the same Key are the same event.
type Key struct {
	UserID     int64
	OccurredAt int64
	ID         ID
}

// Key returns the identity of e.
func (e *Event) Key() Key { return Key{UserID: e.UserID, OccurredAt: e.OccurredAt, ID: e.ID} }

// Size is the memory in bytes that e is charged with while it waits in a queue.
func (e *Event) Size() int { return fixedSize + len(e.Type) + len(e.Payload) }

// fixedSize stands for the struct itself, its queue entry and its share of the
// arrays that are built to send it to the database.
const fixedSize = 256

// Outcome says what became of an event that reached the store.
type Outcome uint8

// The outcomes. The zero value is none of them, so that a forgotten
// assignment cannot pass for an acceptance.
const (
	Accepted  Outcome = iota + 1 // stored and counted now
	Duplicate                    // stored and counted before
	Rejected                     // the store can't hold it; retrying won't help
)

// String returns the outcome as it is written in metrics and headers.
func (o Outcome) String() string {
	switch o {
	case Accepted:
		return "accepted"
	case Duplicate:
		return "duplicate"
	case Rejected:
		return "rejected"
	}
	return "unknown"
}

// Total is the number of events of one type that one slot has counted since
// the beginning. Totals of a (type, slot) only grow, so of two values the larger
// is the later one, in whatever order they arrive; the count of a type
// is the sum over its slots. (This is a grow-only counter: Shapiro et al.,
// "A comprehensive study of Convergent and Commutative Replicated Data Types",
// 2011, specification 6.)
type Total struct {
	Type  string
	Slot  int32
	Count int64
}

// The errors that callers tell apart, wrapped with what was being done.
var (
	ErrInvalid     = errors.New("invalid")                 // the input can't be accepted as it is
	ErrNotFound    = errors.New("not found")               // there is no such thing
	ErrConflict    = errors.New("conflict")                // it contradicts what is there
	ErrLimited     = errors.New("rate limit exceeded")     // the client sent too much; retry later
	ErrBusy        = errors.New("too busy")                // the service is at its bounds; retry later
	ErrUnavailable = errors.New("temporarily unavailable") // a dependency doesn't answer; retry later
)

// Violation is one broken rule in an input.
type Violation struct {
	Pointer string // RFC 6901 JSON Pointer to the offending value
	Code    string // stable, one of the contract's ViolationCode values
	Detail  string // a sentence for a person, without the offending value
}

// InvalidError lists every rule that an input breaks. It matches ErrInvalid.
type InvalidError struct{ Violations []Violation }

func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString("invalid")
	for i, v := range e.Violations {
		sep := ": "
		if i > 0 {
			sep = "; "
		}
		fmt.Fprintf(&b, "%s%s %s", sep, v.Pointer, v.Code)
	}
	return b.String()
}

// Unwrap makes errors.Is(err, ErrInvalid) true.
func (e *InvalidError) Unwrap() error { return ErrInvalid }
