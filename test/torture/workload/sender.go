package workload

import (
	"context"
	"slices"
	"sync"

	"highload.example/analytics/test/torture/history"
)

// sender sends events.
type sender struct {
	client
	source source
	known  []history.Event // some that were accepted, to be sent again
	open   []openEvent     // without a clear answer, to be sent again
	// settling: nothing is given up any more.
	settling bool
}

// openEvent is an event of which it isn't known whether it is stored.
type openEvent struct {
	history.Event
	target string // that was asked last
}

const (
	maxKnown = 64
	maxOpen  = 2000 // more are given up: their fate stays unknown
	maxBatch = 40
)

// act makes one request, or two that belong together.
func (s *sender) act() {
	if len(s.open) > 0 && s.rng.IntN(2) == 0 {
		s.resend()
		return
	}
	switch n := s.rng.IntN(100); {
	case n < 45:
		s.single()
	case n < 75:
		s.batch()
	case n < 80:
		s.allOrNothing()
	case n < 85:
		s.twins()
	default:
		s.writeAndAsk()
	}
}

// event chooses an event: mostly a fresh one, or one that is known to be stored, or
// one that must be refused.
func (s *sender) event() history.Event {
	switch n := s.rng.IntN(100); {
	case n < 8 && len(s.known) > 0:
		return s.known[s.rng.IntN(len(s.known))]
	case n < 10 && len(s.known) > 0:
		return s.source.sibling(s.known[s.rng.IntN(len(s.known))])
	case n < 15:
		return s.source.invalid()
	case n < 16:
		return s.source.invalidID()
	default:
		return s.source.valid()
	}
}

func (s *sender) single() {
	e := s.event()
	s.learn(s.send(s.target(""), form{single: true, gzip: s.rng.IntN(10) == 0, idInHeader: e.Valid && s.rng.IntN(4) == 0}, e))
}

func (s *sender) batch() {
	var events []history.Event
	for range 1 + s.rng.IntN(maxBatch) {
		events = append(events, s.event())
	}
	if s.rng.IntN(4) == 0 { // the same event twice
		events = append(events, events[s.rng.IntN(len(events))])
	}
	s.learn(s.send(s.target(""), s.batchForm(), events...))
}

func (s *sender) batchForm() form {
	return form{
		lines: s.rng.IntN(3) == 0, envelope: s.rng.IntN(3) == 0, gzip: s.rng.IntN(10) == 0, verbose: s.rng.IntN(4) == 0,
	}
}

// allOrNothing sends fresh events in one transaction. An invalid one
// spoils all: then none of them may ever be stored. Without a clear answer half of
// the batches are given up, as only those show whether a part was stored.
func (s *sender) allOrNothing() {
	var events []history.Event
	for range 2 + s.rng.IntN(maxBatch/2) {
		events = append(events, s.source.valid())
	}
	spoiled := s.rng.IntN(4) == 0
	if spoiled {
		events[s.rng.IntN(len(events))] = s.source.invalid()
		for i := range events {
			events[i].Valid = false
		}
	}
	f := s.batchForm()
	f.atomic = true
	o := s.send(s.target(""), f, events...)
	// Sent otherwise, those that were spoiled would be valid.
	if !spoiled && (!slices.ContainsFunc(o.Outcomes, isOpen) || s.rng.IntN(2) == 0) {
		s.learn(o)
	}
}

// twins sends the same events to two servers at the same time, in opposite order.
func (s *sender) twins() {
	var events []history.Event
	for range 2 + s.rng.IntN(maxBatch/2) {
		events = append(events, s.source.valid())
	}
	reversed := slices.Clone(events)
	slices.Reverse(reversed)
	one := s.target("")
	other := s.target(one)
	f, g := s.batchForm(), s.batchForm()
	var answers [2]history.Operation
	var wg sync.WaitGroup
	wg.Go(func() { answers[0] = s.clients.exchange(s.number, one, f, events) })
	wg.Go(func() { answers[1] = s.clients.exchange(s.number, other, g, reversed) })
	wg.Wait()
	slices.Reverse(answers[1].Outcomes)
	merged := answers[0]
	merged.Outcomes = slices.Clone(merged.Outcomes)
	for i := range events {
		if isOpen(merged.Outcomes[i]) {
			merged.Outcomes[i] = answers[1].Outcomes[i]
		}
	}
	slices.Reverse(answers[1].Outcomes)
	s.record(answers[0])
	s.record(answers[1])
	s.learn(merged)
}

// writeAndAsk sends an event to one server and then asks another for its count.
func (s *sender) writeAndAsk() {
	e := s.source.valid()
	o := s.send(s.target(""), form{single: true}, e)
	s.learn(o)
	s.ask(s.target(o.Target), question{kind: history.Count, eventType: e.Type})
}

// resend sends what got no clear answer again, elsewhere.
func (s *sender) resend() {
	n := 1
	if s.rng.IntN(2) == 0 {
		n = min(1+s.rng.IntN(maxBatch), len(s.open))
	}
	again := s.open[:n]
	events := make([]history.Event, n)
	for i := range again {
		events[i] = again[i].Event
	}
	target := s.target(again[0].target)
	s.open = slices.Clone(s.open[n:])
	f := s.batchForm()
	if n == 1 {
		f = form{single: true}
	}
	s.learn(s.send(target, f, events...))
}

// settle sends until nothing is open.
func (s *sender) settle(ctx context.Context) {
	s.failed, s.settling = 0, true
	for len(s.open) > 0 && ctx.Err() == nil {
		s.resend()
		s.rest(ctx)
	}
}

func (s *sender) send(target string, f form, events ...history.Event) history.Operation {
	return s.record(s.clients.exchange(s.number, target, f, events))
}

// learn remembers events that are to be sent again.
func (s *sender) learn(o history.Operation) {
	for i, outcome := range o.Outcomes {
		e := o.Events[i]
		switch {
		case !e.Valid && !isOpen(outcome):
		case isOpen(outcome):
			// A client in twenty gives up; whether its event is stored stays open.
			if s.settling || len(s.open) < maxOpen && s.rng.IntN(20) > 0 {
				s.open = append(s.open, openEvent{Event: e, target: o.Target})
			}
		case len(s.known) < maxKnown:
			s.known = append(s.known, e)
		default:
			s.known[s.rng.IntN(maxKnown)] = e
		}
	}
}

func isOpen(o history.Outcome) bool {
	return o == history.Retry || o == history.Refused || o == history.Unknown
}
