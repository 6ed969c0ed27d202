package ingest

import (
	"context"
	"slices"
	"sync"
	"time"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/failpoint"
)

// publisher brings committed totals to the counters and then releases who waits,
// so that they read what they wrote. Writers hand it their batches and go on with
// the next one. One publication is under way at a time; the batches that are
// committed meanwhile share the next.
type publisher struct {
	service *Service
	free    chan *batch // batches that a writer may fill; their number bounds what waits here
	ended   chan struct{}

	mu      sync.Mutex
	work    sync.Cond
	waiting []written
	closed  bool
}

// written is a batch whose fate is decided.
type written struct {
	batch *batch
	err   error
}

func newPublisher(s *Service) *publisher {
	p := &publisher{service: s, ended: make(chan struct{})}
	p.work.L = &p.mu
	// Every writer may fill one batch while its last is being published.
	p.free = make(chan *batch, 2*s.config.Writers)
	for range cap(p.free) {
		p.free <- &batch{}
	}
	go p.run()
	return p
}

// batch returns an empty batch, once there is one.
func (p *publisher) batch() *batch { return <-p.free }

// publish takes over a batch.
func (p *publisher) publish(b *batch, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = append(p.waiting, written{batch: b, err: err})
	p.work.Signal()
}

// close releases what was handed over and returns when that is done.
func (p *publisher) close() {
	p.mu.Lock()
	p.closed = true
	p.work.Signal()
	p.mu.Unlock()
	<-p.ended
}

func (p *publisher) run() {
	defer close(p.ended)
	var (
		taken  []written
		totals []event.Total
	)
	for {
		p.mu.Lock()
		for len(p.waiting) == 0 && !p.closed {
			p.work.Wait()
		}
		taken, p.waiting = p.waiting, taken[:0]
		p.mu.Unlock()
		if len(taken) == 0 {
			return
		}
		totals = merge(totals[:0], taken)
		p.send(p.withRepeated(totals, taken))
		if failpoint.Enabled {
			failpoint.Hit(failpoint.BeforeAnswer)
		}
		for i, w := range taken {
			p.service.release(w.batch, w.err)
			taken[i] = written{}
			p.free <- w.batch // has room for all there are
		}
	}
}

// merge appends the totals of the batches, the largest of each type and slot.
func merge(totals []event.Total, batches []written) []event.Total {
	if len(batches) == 1 {
		return append(totals, batches[0].batch.totals...)
	}
	type counter struct {
		eventType string
		slot      int32
	}
	at := make(map[counter]int)
	for _, w := range batches {
		for _, t := range w.batch.totals {
			key := counter{eventType: t.Type, slot: t.Slot}
			if i, ok := at[key]; ok {
				totals[i].Count = max(totals[i].Count, t.Count)
				continue
			}
			at[key] = len(totals)
			totals = append(totals, t)
		}
	}
	return totals
}

// repeatedTimeout bounds the wait for the totals of repeated events. The database has
// just answered.
const repeatedTimeout = 500 * time.Millisecond

// withRepeated appends the record's totals of the types of which events were stored
// before: by somebody who may not have come to publish them, but died, or lost the answer
// to its COMMIT. Whoever is answered "duplicate" reads what it wrote, too.
func (p *publisher) withRepeated(totals []event.Total, batches []written) []event.Total {
	var types []string
	for _, w := range batches {
		for i, outcome := range w.batch.outcomes {
			if outcome == event.Duplicate {
				types = append(types, w.batch.events[i].Type)
			}
		}
	}
	if len(types) == 0 {
		return totals
	}
	slices.Sort(types)
	types = slices.Compact(types)
	ctx, cancel := context.WithTimeout(p.service.life, repeatedTimeout)
	defer cancel()
	found, err := p.service.config.Totals(ctx, types)
	if err != nil {
		p.service.config.Logger.Debug("counts of duplicates were not read; they will be reconciled", "error", err)
		return totals
	}
	return append(totals, found...)
}

// publishTimeout is short, for people wait for the batch: a count that didn't
// reach Redis in time is put right by the reconciler.
const publishTimeout = 100 * time.Millisecond

func (p *publisher) send(totals []event.Total) {
	if len(totals) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(p.service.life, publishTimeout)
	defer cancel()
	if err := p.service.config.Counters.Publish(ctx, totals); err != nil {
		p.service.config.Logger.Debug("counts were not published; they will be reconciled", "error", err)
	}
}
