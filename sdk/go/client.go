package analytics

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"highload.example/analytics/sdk/go/internal/client"
)

// Client sends events and asks questions. It is for use by many goroutines; a process needs one.
type Client struct {
	options Options
	api     *client.Client
	own     *http.Client // closed with the client; nil for one of the caller's
	began   time.Time
	outcome *reporter

	wake    chan struct{}      // holds one signal: the sender should look again
	closing chan struct{}      // closed by Close
	stop    context.CancelFunc // ends the sender
	done    chan struct{}      // closed by the sender at its end

	mu      sync.Mutex
	queue   queue
	disk    *journal // nil without QueueDir
	stats   Stats
	lastSeq uint64
	urgent  uint64 // events up to this one don't wait for their batch to fill
	closed  bool
	changed chan struct{} // closed when something was settled; nil while nobody waits for it
	drops   int           // since the last warning
	warned  time.Duration // when that was, on the client's clock

	finish   sync.Once
	closeErr error
}

// Stats counts events and requests since New.
type Stats struct {
	// Queued events are not settled yet. They include those found in QueueDir.
	Queued int
	// What became of the others.
	Accepted, Duplicate, Rejected, Dropped, Failed int64
	// Requests are the tries to deliver a batch, also those that found no server; Retries are those of them that
	// followed one that failed.
	Requests, Retries int64
}

// New starts a client. It doesn't look for the server: an application starts without it.
func New(options Options) (*Client, error) {
	o, err := options.resolved()
	if err != nil {
		return nil, err
	}
	c := &Client{
		options: o,
		began:   time.Now(),
		wake:    make(chan struct{}, 1),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
		queue:   queue{maxEvents: o.MaxQueueEvents, maxBytes: o.MaxQueueBytes},
	}
	if o.HTTPClient == nil {
		c.own = &http.Client{Transport: ownTransport(), CheckRedirect: keepMethod}
		o.HTTPClient = c.own
	}
	if c.api, err = client.NewClient(strings.TrimSpace(o.URL), client.WithHTTPClient(o.HTTPClient), client.WithRequestEditorFn(addUserAgent)); err != nil {
		return nil, fmt.Errorf("analytics: %w", err)
	}
	if o.QueueDir != "" {
		if err := c.recover(); err != nil {
			return nil, err
		}
	}
	c.outcome = newReporter(&o)
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	go c.run(ctx)
	return c, nil
}

// recover takes over what the process before left on disk.
func (c *Client) recover() error {
	disk, items, next, err := openJournal(c.options.QueueDir, c.options.Logger)
	if err != nil {
		return err
	}
	c.disk = disk
	for i := range items {
		c.queue.push(&items[i])
	}
	c.lastSeq = next - 1
	c.urgent = c.lastSeq // they waited long enough
	if len(items) > 0 {
		c.options.Logger.Info("analytics: events of an earlier process are sent now", "events", len(items))
	}
	return nil
}

// Track takes an event to be delivered. It never waits for the network, and for room in the queue only with
// the policy Block; the context matters to nothing but that. An error says that the event was not taken: ErrPayload and ErrTooLarge are the caller's
// to correct, ErrQueueFull and ErrClosed are not.
func (c *Client) Track(ctx context.Context, event Event) error {
	now := time.Now()
	it, err := newItem(&event, now)
	it.at = now.Sub(c.began)

	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		c.stats.Dropped++
		return ErrClosed
	case err != nil:
		c.refuse(&it, err)
		return err
	}
	if !c.queue.fits(&it) {
		if err := c.makeRoom(ctx, &it); err != nil {
			return err
		}
	}
	c.lastSeq++
	it.seq = c.lastSeq
	if c.disk != nil {
		c.disk.add(&it)
	}
	c.queue.push(&it)
	// Only two things concern a sender that waits: the first event, whose time begins, and the last of a batch.
	if len(c.queue.flight) == 0 && (c.queue.count == 1 || c.queue.full(c.options.MaxBatchEvents, c.options.MaxBatchBytes)) {
		signal(c.wake)
	}
	return nil
}

// refuse counts and tells of an event that can't be sent. The caller holds the lock.
func (c *Client) refuse(it *item, err error) {
	code := CodePayload
	if errors.Is(err, ErrTooLarge) {
		code = CodeTooLarge
	}
	c.stats.Rejected++
	c.outcome.tellNow(Outcome{
		Event: it.record(), Result: Rejected, Code: code,
		Violations: []Violation{{Pointer: "/payload", Code: code, Detail: err.Error()}},
	})
}

// makeRoom makes the queue have room for an event, or drops it. The caller holds the lock.
func (c *Client) makeRoom(ctx context.Context, it *item) error {
	// Waiting for a batch to fill makes no sense any more.
	c.urgent = c.lastSeq
	signal(c.wake)
	err := ErrQueueFull
	switch c.options.OnFull {
	case DropOldest:
		// An event that the queue could never hold doesn't empty it.
		for it.size() <= c.options.MaxQueueBytes && !c.queue.fits(it) {
			oldest, ok := c.queue.dropOldest()
			if !ok {
				break
			}
			if c.disk != nil {
				c.disk.settle(oldest.seq)
			}
			c.drop(&oldest)
			c.announce()
		}
	case Block:
		if it.size() <= c.options.MaxQueueBytes {
			err = c.awaitRoom(ctx, it)
		}
	case DropNewest:
	}
	switch {
	case c.closed:
		c.stats.Dropped++
		return ErrClosed
	case c.queue.fits(it):
		return nil
	}
	c.drop(it)
	return err
}

// awaitRoom waits until an event fits, as long as the policy Block allows, and returns why it
// didn't wait longer.
func (c *Client) awaitRoom(ctx context.Context, it *item) error {
	timer := time.NewTimer(c.options.BlockTimeout)
	defer timer.Stop()
	for !c.closed && !c.queue.fits(it) {
		changed := c.change()
		c.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-timer.C:
			err = ErrQueueFull
		case <-ctx.Done():
			err = fmt.Errorf("%w: %w", ErrQueueFull, ctx.Err())
		}
		c.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// dropWarnings is how much time is at least between two warnings of dropped events.
const dropWarnings = 10 * time.Second

// drop counts and tells of an event that the queue has no room for. The caller holds the lock.
func (c *Client) drop(it *item) {
	c.stats.Dropped++
	c.outcome.tellNow(Outcome{Event: it.record(), Result: Dropped, Code: CodeQueueFull})
	c.drops++
	if now := time.Since(c.began); c.warned == 0 || now-c.warned >= dropWarnings {
		c.options.Logger.Warn("analytics: the queue is full, events are dropped", "dropped", c.drops, "queued", c.queue.events())
		c.drops, c.warned = 0, max(now, 1)
	}
}

// change returns a channel that is closed when something is settled. The caller holds the lock.
func (c *Client) change() <-chan struct{} {
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// announce wakes those who wait for a change. The caller holds the lock.
func (c *Client) announce() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// Flush sends what was tracked before, without waiting for batches to fill, and returns once all of
// it is settled, in whatever way. Its error is an *UnsettledError when the context ended before that. A server that
// is away, or asked to be left alone, isn't asked more often for it.
func (c *Client) Flush(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	through := c.lastSeq
	c.urgent = through
	signal(c.wake)
	for {
		oldest := c.queue.oldest()
		if oldest == nil || oldest.seq > through {
			return nil
		}
		changed := c.change()
		c.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = ctx.Err()
		case <-c.done:
			err = ErrClosed
		}
		c.mu.Lock()
		if left := c.queue.upTo(through); err != nil && left > 0 {
			return &UnsettledError{Events: left, OnDisk: c.disk != nil, Err: err}
		}
	}
}

// Close delivers what is queued, at once where the client waits for its next try, and ends the client. When the context
// ends before that, the request under way is broken off and what is left is dropped, or kept in
// QueueDir; the error is an *UnsettledError then. Without a deadline Close waits for as long as
// it takes. When it returns, every outcome is told and no goroutine is left.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.closing)
		c.announce() // to a Track that waits for room
	}
	c.mu.Unlock()

	// 1. The sender delivers what it can.
	select {
	case <-c.done:
	case <-ctx.Done():
		c.stop()
		<-c.done
	}
	// 2. What is left is told, or stays on disk.
	c.finish.Do(func() { c.closeErr = c.end(ctx) })
	return c.closeErr
}

// callbackGrace is how long outcomes may be told after Close's deadline.
const callbackGrace = time.Second

// end does what comes after the last request.
func (c *Client) end(ctx context.Context) error {
	c.stop() // frees the context of a sender that ended by itself
	c.mu.Lock()
	left, kept := c.queue.events(), c.disk != nil
	var outcomes []Outcome
	for !kept && c.queue.count > 0 {
		it, _ := c.queue.dropOldest()
		c.stats.Dropped++
		if c.outcome != nil {
			outcomes = append(outcomes, Outcome{Event: it.record(), Result: Dropped, Code: CodeClosed})
		}
	}
	c.announce()
	c.mu.Unlock()

	var err error
	if kept {
		err = c.disk.close()
	}
	c.outcome.tell(ctx, outcomes)
	told := c.outcome.close()
	select {
	case <-told:
	case <-ctx.Done():
		grace := time.NewTimer(callbackGrace)
		defer grace.Stop()
		select {
		case <-told:
		case <-grace.C:
			err = errors.Join(err, errors.New("analytics: OnOutcome doesn't return; its goroutine is left behind"))
		}
	}
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
	if left > 0 {
		cause := ctx.Err()
		if cause == nil { // another Close ran out of time before this one
			cause = ErrClosed
		}
		c.options.Logger.Warn("analytics: closed before everything was delivered", "events", left, "on_disk", kept)
		err = errors.Join(&UnsettledError{Events: left, OnDisk: kept, Err: cause}, err)
	}
	return err
}

// Stats returns the client's counters.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Queued = c.queue.events()
	return s
}
