// Package memory is what replicas share when there is only one: counters and
// limits in the process. It keeps the contract of backend/redis.
package memory

import (
	"context"
	"strings"
	"sync"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ingest"
	"highload.example/analytics/impl/stats"
)

// Counters holds the totals of a bounded number of event types. Types beyond the
// bound are not held, so that their counts are read from the record.
type Counters struct {
	maxTypes int

	mu    sync.RWMutex
	types map[string]*totals
}

var (
	_ ingest.Counters = (*Counters)(nil)
	_ stats.Live      = (*Counters)(nil)
)

// totals are one type's.
type totals struct {
	slots    map[int32]int64
	complete bool
}

// NewCounters returns counters that hold at most maxTypes types.
func NewCounters(maxTypes int) *Counters {
	return &Counters{maxTypes: maxTypes, types: map[string]*totals{}}
}

// Publish implements ingest.Counters and stats.Live. It has no errors.
func (c *Counters) Publish(_ context.Context, published []event.Total) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range published {
		if held := c.hold(t.Type); held != nil {
			held.merge(t)
		}
	}
	return nil
}

// hold returns the totals of a type, empty if it is new, nil if there is no room.
func (c *Counters) hold(eventType string) *totals {
	held := c.types[eventType]
	if held == nil && len(c.types) < c.maxTypes {
		held = &totals{slots: map[int32]int64{}}
		c.types[strings.Clone(eventType)] = held // it may be a piece of a request
	}
	return held
}

func (t *totals) merge(total event.Total) {
	if total.Count > t.slots[total.Slot] {
		t.slots[total.Slot] = total.Count
	}
}

// Count implements stats.Live. It has no errors.
func (c *Counters) Count(_ context.Context, eventType string) (n int64, ok bool, err error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	held := c.types[eventType]
	if held == nil || !held.complete {
		return 0, false, nil
	}
	for _, count := range held.slots {
		n += count
	}
	return n, true, nil
}

// Totals implements stats.Live. It has no errors.
func (c *Counters) Totals(_ context.Context, eventType string) ([]event.Total, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	held := c.types[eventType]
	if held == nil {
		return nil, nil
	}
	all := make([]event.Total, 0, len(held.slots))
	for slot, count := range held.slots {
		all = append(all, event.Total{Type: eventType, Slot: slot, Count: count})
	}
	return all, nil
}

// Fill implements stats.Live. It has no errors.
func (c *Counters) Fill(_ context.Context, eventType string, recorded []event.Total) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := c.hold(eventType)
	if held == nil {
		return nil
	}
	for _, t := range recorded {
		if t.Type == eventType {
			held.merge(t)
		}
	}
	held.complete = true
	return nil
}

// Generation implements stats.Live: the totals live and die with the process.
func (c *Counters) Generation() uint64 { return 0 }

// Forget implements stats.Live. It has no errors.
func (c *Counters) Forget(_ context.Context, eventType string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.types, eventType)
	return nil
}
