// Package history records what clients did and were told in a run, one JSON
// object per line, and reads it again.
package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"sync"
	"time"
)

// Outcome is what a client knows of an event, or that it made a query.
type Outcome string

// The outcomes.
const (
	Accepted  Outcome = "accepted"  // 202: it must be stored
	Duplicate Outcome = "duplicate" // 202, and said to be there before: it must be stored
	Rejected  Outcome = "rejected"  // it is invalid: it must not be stored
	Retry     Outcome = "retry"     // a batch's answer: whether it is stored isn't known, send it again
	Refused   Outcome = "refused"   // 503, 429 or 408: it may be stored all the same
	Unknown   Outcome = "unknown"   // no answer, half of one, or one that can't be understood
	Answered  Outcome = "read"      // a query got its answer
)

// The kinds of operations.
const (
	Send   = "send"   // POST /event
	Batch  = "batch"  // POST /events
	Count  = "count"  // GET /stats/{event_type}
	Series = "series" // GET /stats/{event_type}/series
	Total  = "total"  // GET /stats
)

// Event is an event as a client sent it.
type Event struct {
	UserID    int64           `json:"user_id"`
	Type      string          `json:"type"`
	Timestamp int64           `json:"timestamp"` // Unix seconds
	ID        string          `json:"id"`
	Payload   json.RawMessage `json:"payload,omitempty"`
	Valid     bool            `json:"valid"` // whether the contract lets it be stored, sent as it was
}

// Operation is a request and what came of it.
type Operation struct {
	Client   int       `json:"client"`
	Kind     string    `json:"kind"`
	Start    int64     `json:"start"` // nanoseconds since the run's start, before the first byte was sent
	End      int64     `json:"end"`   // the same, after the answer's last byte or the failure
	Target   string    `json:"target"`
	Status   int       `json:"status,omitempty"` // 0: no answer
	Events   []Event   `json:"events,omitempty"`
	Outcomes []Outcome `json:"outcomes"`         // of each event; of a question the one that it has
	Atomic   bool      `json:"atomic,omitempty"` // a batch of which all is to be stored, or nothing

	// Of questions:
	EventType string  `json:"event_type,omitempty"`
	From      int64   `json:"from,omitempty"` // Unix seconds; 0: from the beginning
	To        int64   `json:"to,omitempty"`   // exclusive; 0: without an end
	Interval  string  `json:"interval,omitempty"`
	Counts    []int64 `json:"counts,omitempty"` // the answer: one count, or one for each bucket; see Bounds

	// Problem says what was wrong with the answer itself: it isn't in the contract,
	// or its status is one that must not occur.
	Problem string `json:"problem,omitempty"`
}

// Bounds returns what the counts of a question stand for: count i is that of the
// events from bound i on to before bound i+1, in Unix seconds. Buckets are UTC's.
func (o *Operation) Bounds() []int64 {
	from, to := o.From, o.To
	if from == 0 {
		from = math.MinInt64
	}
	if to == 0 {
		to = math.MaxInt64
	}
	bounds := []int64{from}
	if o.Kind == Series && o.From != 0 && o.To != 0 {
		for next := nextBucket(from, o.Interval); next < to; next = nextBucket(next, o.Interval) {
			bounds = append(bounds, next)
		}
	}
	return append(bounds, to)
}

// nextBucket returns the start of the bucket after the one that holds a moment.
func nextBucket(at int64, interval string) int64 {
	t := time.Unix(at, 0).UTC()
	midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	switch interval {
	case "minute":
		return at - at%60 + 60
	case "hour":
		return at - at%3600 + 3600
	case "week":
		return midnight.AddDate(0, 0, 7-(int(t.Weekday())+6)%7).Unix() // from Monday
	case "month":
		return time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, time.UTC).Unix()
	default: // the contract's: a day
		return midnight.AddDate(0, 0, 1).Unix()
	}
}

// bufferSize is all that a Recorder holds beside the operation at hand.
const bufferSize = 256 << 10

// Recorder writes operations as they happen. It is safe for concurrent use.
type Recorder struct {
	start time.Time

	mu     sync.Mutex
	file   io.WriteCloser
	buffer *bufio.Writer
	count  int64
	err    error
}

// Create returns a recorder that writes a file, and begins the run's clock.
func Create(name string) (*Recorder, error) {
	file, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("recording the history: %w", err)
	}
	return NewRecorder(file), nil
}

// NewRecorder returns a recorder that writes to file, and begins the run's clock.
func NewRecorder(file io.WriteCloser) *Recorder {
	return &Recorder{start: time.Now(), file: file, buffer: bufio.NewWriterSize(file, bufferSize)}
}

// Now returns the nanoseconds since the run's start, by a clock that never jumps.
func (r *Recorder) Now() int64 { return time.Since(r.start).Nanoseconds() }

// Record appends an operation. An error is kept for Close: a client has no use
// for it.
func (r *Recorder) Record(o Operation) {
	line, err := json.Marshal(o)
	if err != nil {
		err = fmt.Errorf("recording an operation of client %d: %w", o.Client, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return
	}
	if err == nil {
		_, err = r.buffer.Write(append(line, '\n'))
	}
	if err != nil {
		r.err = err
		return
	}
	r.count++
}

// Recorded returns how many operations there are.
func (r *Recorder) Recorded() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// Close writes what is left, and says whether anything of the run is missing.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = r.buffer.Flush()
	}
	return errors.Join(r.err, r.file.Close())
}

// Open returns the operations of a file, in the order in which they ended. Every
// walk over them reads the file again, so that a history needs no memory. What
// can't be read is yielded as an error, and is the last.
func Open(name string) iter.Seq2[Operation, error] {
	return func(yield func(Operation, error) bool) {
		file, err := os.Open(name)
		if err != nil {
			yield(Operation{}, fmt.Errorf("reading the history: %w", err))
			return
		}
		defer func() { _ = file.Close() }() // it was only read
		for o, err := range Read(file) {
			if !yield(o, err) {
				return
			}
		}
	}
}

// Read returns the operations that a Recorder wrote.
func Read(r io.Reader) iter.Seq2[Operation, error] {
	return func(yield func(Operation, error) bool) {
		decoder := json.NewDecoder(bufio.NewReaderSize(r, bufferSize))
		for number := 1; ; number++ {
			var o Operation
			err := decoder.Decode(&o)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(o, fmt.Errorf("operation %d of the history: %w", number, err))
				return
			}
			if !yield(o, nil) {
				return
			}
		}
	}
}
