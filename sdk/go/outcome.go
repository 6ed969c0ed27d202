package analytics

import (
	"context"
	"log/slog"
	"sync"
)

// Result is what became of an event.
type Result string

const (
	// Accepted says that the server stored it.
	Accepted Result = "accepted"
	// Duplicate says that the server had it already, as after an answer that got lost.
	Duplicate Result = "duplicate"
	// Rejected says that it breaks the contract; Outcome.Violations says how.
	Rejected Result = "rejected"
	// Dropped says that there was no room for it (CodeQueueFull), or no time (CodeClosed). An event of a request that
	// Close broke off, or that was sent in vain before, may be stored all the same.
	Dropped Result = "dropped"
	// Failed says that the server refused the whole request that it was in, for a reason that another try doesn't change.
	Failed Result = "failed"
)

// Codes of outcomes that don't come from the server.
const (
	CodeQueueFull       = "queue_full"
	CodeClosed          = "closed"
	CodePayload         = "payload"           // ErrPayload
	CodeTooLarge        = "too_large"         // ErrTooLarge
	CodeContentTooLarge = "content_too_large" // too large for this server, even alone
)

// Outcome says what became of an event. Each event that Track was called with gets exactly one, unless the
// client was closed before, or the process ended with the event on disk: then the next client's callback gets it.
type Outcome struct {
	Event  Record
	Result Result
	// Code is a stable name for the reason: of a rejected event that of its first violation, of a failed one that of the problem.
	Code string
	// Status is the HTTP status that made the event fail.
	Status int
	// Violations lists why the event was rejected.
	Violations []Violation
}

// reporter calls Options.OnOutcome from a goroutine of its own.
type reporter struct {
	call   func(Outcome)
	limit  int
	logger *slog.Logger
	done   chan struct{}

	mu      sync.Mutex
	waiting []Outcome
	lost    int // outcomes that there was no room for
	closed  bool
	wake    chan struct{} // holds one signal: there is something new
	room    chan struct{} // holds one signal: something was taken
}

// newReporter returns nil without a callback; a nil reporter does nothing.
func newReporter(o *Options) *reporter {
	if o.OnOutcome == nil {
		return nil
	}
	r := &reporter{
		call: o.OnOutcome, limit: o.MaxQueueEvents, logger: o.Logger,
		done: make(chan struct{}), wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
	go r.run()
	return r
}

// tell hands over the outcomes of a batch. While the callback is so slow that a whole queue's
// outcomes wait, it waits, until the context ends. Only one goroutine calls it.
func (r *reporter) tell(ctx context.Context, outcomes []Outcome) {
	if r == nil {
		return
	}
	for {
		r.mu.Lock()
		if len(r.waiting) < r.limit || ctx.Err() != nil {
			r.waiting = append(r.waiting, outcomes...)
			r.mu.Unlock()
			signal(r.wake)
			return
		}
		r.mu.Unlock()
		select {
		case <-r.room:
		case <-ctx.Done():
		}
	}
}

// tellNow is tell for Track, which doesn't wait: an outcome that there is no room for is only counted.
func (r *reporter) tellNow(outcome Outcome) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) >= 2*r.limit {
		if r.lost++; r.lost == 1 {
			r.logger.Warn("analytics: OnOutcome is too slow: outcomes of events that the queue has no room for are not told")
		}
		return
	}
	r.waiting = append(r.waiting, outcome)
	signal(r.wake)
}

// close ends the goroutine once everything is told.
func (r *reporter) close() <-chan struct{} {
	if r == nil {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	signal(r.wake)
	return r.done
}

func (r *reporter) run() {
	defer close(r.done)
	var taken []Outcome
	for {
		r.mu.Lock()
		closed := r.closed
		taken, r.waiting = r.waiting, taken[:0]
		r.mu.Unlock()
		signal(r.room)
		for i := range taken {
			r.tellOne(taken[i])
			taken[i] = Outcome{} // the payload isn't kept
		}
		if len(taken) > 0 {
			continue
		}
		if closed {
			return
		}
		<-r.wake
	}
}

func (r *reporter) tellOne(outcome Outcome) {
	defer func() {
		if p := recover(); p != nil {
			r.logger.Error("analytics: OnOutcome panicked", "panic", p)
		}
	}()
	r.call(outcome)
}

// signal leaves a signal in a channel that holds one, if it has none.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
