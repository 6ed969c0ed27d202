package query

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"highload.example/analytics/impl/event"
)

// Collector does a StepScan on events that are handed to it one by one, in any order: for
// stores that can't do it themselves, or not as fast.
type Collector struct {
	scan   *StepScan
	events []collected
	keys   [][]Value
	memory int64 // bytes, about
}

type collected struct {
	user, at int64
	id       event.ID
	steps    uint16
	key      int32 // in keys; -1: none
}

// NewCollector returns a collector without events.
func NewCollector(scan *StepScan) *Collector { return &Collector{scan: scan} }

// Add takes an event in, which is in the range but perhaps fits no step. The error matches
// ErrTooExpensive when there are too many to hold, and else says that a payload is damaged.
func (c *Collector) Add(r *Row, id event.ID) error {
	next := collected{user: r.UserID, at: r.OccurredAt, id: id, key: -1}
	for i := range c.scan.Steps {
		if c.scan.Steps[i].Type != r.Type {
			continue
		}
		fits, err := c.scan.Steps[i].Condition.Match(r)
		if err != nil {
			return err
		}
		if fits {
			next.steps |= 1 << i
		}
	}
	if next.steps == 0 {
		return nil
	}
	if next.steps&1 != 0 && len(c.scan.GroupBy) > 0 {
		key := make([]Value, len(c.scan.GroupBy))
		for i := range key {
			var err error
			if key[i], err = c.scan.GroupBy[i].Of(r); err != nil {
				return err
			}
			c.memory += 32 + int64(len(key[i].Text))
		}
		next.key = int32(len(c.keys))
		c.keys = append(c.keys, key)
	}
	return c.add(next)
}

// AddFitting takes an event in of which it is known already which steps it fits. It is for
// scans without groups. The error matches ErrTooExpensive when there are too many to hold.
func (c *Collector) AddFitting(user, at int64, id event.ID, steps uint16) error {
	return c.add(collected{user: user, at: at, id: id, steps: steps, key: -1})
}

func (c *Collector) add(next collected) error {
	c.events = append(c.events, next)
	if c.memory += 48; c.memory > maxMemory {
		return fmt.Errorf("%w: too many events fit to hold them in memory; ask about a shorter range", ErrTooExpensive)
	}
	return nil
}

// Each hands the events over, in the order of a StepScan.
func (c *Collector) Each(yield func(*StepEvent) error) error {
	slices.SortFunc(c.events, func(a, b collected) int {
		switch {
		case a.user != b.user:
			return cmp.Compare(a.user, b.user)
		case a.at != b.at:
			return cmp.Compare(a.at, b.at)
		}
		return bytes.Compare(a.id[:], b.id[:])
	})
	for i := range c.events {
		e := StepEvent{UserID: c.events[i].user, OccurredAt: c.events[i].at, Steps: c.events[i].steps}
		if key := c.events[i].key; key >= 0 {
			e.Key = c.keys[key]
		}
		if err := yield(&e); err != nil {
			return err
		}
	}
	return nil
}

// NeedsPayload says whether an aggregation looks into payloads.
func (a *Aggregation) NeedsPayload() bool {
	needs := a.Metric.Numeric() || a.Slice.Condition.needsPayload()
	for _, f := range a.GroupBy {
		needs = needs || f.Kind == PayloadField
	}
	return needs
}

// NeedsPayload says whether a scan looks into payloads.
func (s *StepScan) NeedsPayload() bool {
	needs := false
	for i := range s.Steps {
		needs = needs || s.Steps[i].Condition.needsPayload()
	}
	for _, f := range s.GroupBy {
		needs = needs || f.Kind == PayloadField
	}
	return needs
}

func (c *Condition) needsPayload() bool {
	return slices.ContainsFunc(c.Filters, func(f Filter) bool { return f.Field.Kind == PayloadField })
}
