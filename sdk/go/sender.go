package analytics

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// run delivers batches, one after the other, until the client is closed and nothing is left, or until the
// context ends.
func (c *Client) run(ctx context.Context) {
	defer close(c.done)
	d := &deliverer{api: c.api, options: &c.options}
	failures := 0 // in a row
	closing := c.closing
	for {
		// 1. The next batch, when it is time.
		batch := c.awaitBatch(ctx)
		if batch == nil {
			return
		}
		// 2. One try.
		c.mu.Lock()
		c.stats.Requests++
		if failures > 0 {
			c.stats.Retries++
		}
		c.mu.Unlock()
		a := d.deliver(ctx, batch)
		// 3. What became of each event.
		outcomes := c.settle(batch, &a)
		c.outcome.tell(ctx, outcomes)
		// 4. A rest, if there is something to be sent again.
		if !a.again {
			if failures > 0 {
				c.options.Logger.Info("analytics: the server answers again", "failures", failures)
			}
			failures = 0
			continue
		}
		failures++
		wait := c.backoff(failures, a.retryAfter)
		level := slog.LevelDebug
		if failures == 1 {
			level = slog.LevelWarn // and silence until it is over
		}
		if ctx.Err() == nil {
			c.options.Logger.Log(ctx, level, "analytics: events can't be delivered now and are sent again", "error", a.err, "failures", failures, "wait", wait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-closing:
			closing = nil // only once: a server that is down isn't asked faster for it
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// backoff returns how long to wait: full jitter, and at least what the server asks for.
func (c *Client) backoff(failures int, retryAfter time.Duration) time.Duration {
	limit := c.options.BackoffBase
	for range failures - 1 {
		if limit *= 2; limit >= c.options.BackoffMax {
			limit = c.options.BackoffMax
			break
		}
	}
	wait := time.Duration(rand.Int64N(int64(min(limit, c.options.BackoffMax)) + 1)) //nolint:gosec // nobody gains by guessing it
	return max(wait, min(retryAfter, maxRetryAfter))
}

// awaitBatch waits until a batch is due and takes it. It returns nil when there is nothing more to do.
func (c *Client) awaitBatch(ctx context.Context) []item {
	for {
		batch, due, more := c.nextBatch()
		if batch != nil || !more || ctx.Err() != nil {
			return batch
		}
		var alarm <-chan time.Time
		if due > 0 {
			alarm = time.After(due)
		}
		select {
		case <-c.wake:
		case <-alarm:
		case <-c.closing:
		case <-ctx.Done():
		}
	}
}

// nextBatch takes the next batch if it is due. Else due is the time until then, 0 while
// nothing is queued; more is false at the end.
func (c *Client) nextBatch() (batch []item, due time.Duration, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	oldest := c.queue.oldest()
	if oldest == nil {
		return nil, 0, !c.closed
	}
	due = oldest.at + c.options.FlushInterval - time.Since(c.began)
	if due <= 0 || c.closed || oldest.seq <= c.urgent || c.queue.full(c.options.MaxBatchEvents, c.options.MaxBatchBytes) {
		return c.queue.take(c.options.MaxBatchEvents, c.options.MaxBatchBytes), 0, true
	}
	return nil, due, true
}

// settle books what became of a batch and returns the outcomes, if anybody wants them.
func (c *Client) settle(batch []item, a *answer) []Outcome {
	var outcomes []Outcome
	var settled []uint64
	if c.outcome != nil {
		outcomes = make([]Outcome, 0, len(batch))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range batch {
		v := a.verdict(i)
		switch v.result {
		case Accepted:
			c.stats.Accepted++
		case Duplicate:
			c.stats.Duplicate++
		case Rejected:
			c.stats.Rejected++
		case Failed:
			c.stats.Failed++
		default:
			continue
		}
		if c.outcome != nil {
			outcomes = append(outcomes, Outcome{
				Event: batch[i].record(), Result: v.result, Code: v.code, Status: v.status, Violations: v.violations,
			})
		}
		if c.disk != nil {
			settled = append(settled, batch[i].seq)
		}
	}
	n := len(batch)
	kept := c.queue.landed(func(i int) bool { return a.verdict(i).result == "" })
	switch {
	case kept == 0:
	case a.tooLarge:
		c.queue.cut((n+1)/2, n/2)
	default:
		c.queue.cut(kept)
	}
	if c.disk != nil {
		c.disk.settle(settled...)
	}
	c.announce()
	return outcomes
}
