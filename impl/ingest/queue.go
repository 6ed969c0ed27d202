package ingest

import (
	"fmt"
	"sync"
	"time"

	"highload.example/analytics/impl/event"
)

// group is the events of one request, and who waits for them.
type group struct {
	events   []event.Event
	outcomes []event.Outcome
	whole    bool // one transaction, or nothing
	bytes    int
	arrived  time.Time
	taken    int // events that writers have taken; guarded by the service's lock

	mu      sync.Mutex
	settled int   // events whose fate is decided
	err     error // why some have no outcome
	done    chan struct{}

	one [1]event.Event // the event of a single, and its outcome
	got [1]event.Outcome
}

// singles are groups of one event that are reused.
type singles struct{ pool sync.Pool }

// get returns a group of one event. Put it back.
func (s *singles) get(e event.Event) *group {
	g, ok := s.pool.Get().(*group)
	if !ok {
		g = &group{done: make(chan struct{}, 1)}
	}
	g.one[0], g.got[0] = e, 0
	g.events, g.outcomes = g.one[:], g.got[:]
	g.bytes = e.Size()
	return g
}

// put lets the next event have g. Nobody else may hold it.
func (s *singles) put(g *group) {
	g.one[0] = event.Event{} // let go of the request's memory
	g.taken, g.settled, g.err = 0, 0, nil
	s.pool.Put(g)
}

func newGroup(events []event.Event, outcomes []event.Outcome, whole bool) *group {
	g := &group{events: events, outcomes: outcomes, whole: whole, done: make(chan struct{}, 1)}
	for i := range events {
		g.bytes += events[i].Size()
	}
	return g
}

// settle notes that n more events of the group have met their fate, and tells who
// waits when they were the last. err, if any, says why some have no outcome.
func (g *group) settle(n int, err error) {
	g.mu.Lock()
	g.settled += n
	if g.err == nil {
		g.err = err
	}
	last := g.settled == len(g.events)
	g.mu.Unlock()
	if last {
		g.done <- struct{}{} // has room: told once
	}
}

// part is a piece of a group in a batch.
type part struct {
	group    *group
	from, to int
}

// queue holds what waits, oldest first. The first group may be taken in part.
type queue struct {
	groups []*group
	head   int // index of the oldest; those before it are gone
	items  int // events that wait
}

func (q *queue) push(g *group) {
	if q.head > 0 && len(q.groups) == cap(q.groups) {
		// Use the room in front rather than growing.
		n := copy(q.groups, q.groups[q.head:])
		clear(q.groups[n:])
		q.groups, q.head = q.groups[:n], 0
	}
	q.groups = append(q.groups, g)
	q.items += len(g.events)
}

// oldest returns the group that has waited the longest, or nil.
func (q *queue) oldest() *group {
	if q.head == len(q.groups) {
		return nil
	}
	return q.groups[q.head]
}

// take appends up to limit events to parts, in the order of their arrival. A group
// that must not be split is taken alone, whatever its size.
func (q *queue) take(parts []part, limit int) []part {
	room := limit
	for g := q.oldest(); g != nil && room > 0; g = q.oldest() {
		n := len(g.events) - g.taken
		if g.whole {
			if room < limit {
				break
			}
			room = n
		}
		n = min(n, room)
		parts = append(parts, part{group: g, from: g.taken, to: g.taken + n})
		g.taken += n
		room -= n
		q.items -= n
		if g.taken == len(g.events) {
			q.drop()
		}
	}
	return parts
}

// drop removes the oldest group.
func (q *queue) drop() {
	q.groups[q.head] = nil
	if q.head++; q.head == len(q.groups) {
		q.groups, q.head = q.groups[:0], 0
	}
}

// Errors for what isn't taken on.
var (
	errStopping = fmt.Errorf("%w: the service is stopping", event.ErrUnavailable)
	errDown     = fmt.Errorf("%w: the database doesn't answer", event.ErrUnavailable)
	errTooLate  = fmt.Errorf("%w: the events waited too long for their turn", event.ErrBusy)
)

// enqueue takes g on, or says why not. Nothing that could not be answered in time
// is taken on: a queue that is drained more slowly than it fills would otherwise
// come to hold only what nobody waits for any more.
func (s *Service) enqueue(g *group) error {
	g.arrived = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch oldest := s.queue.oldest(); {
	case s.stopped:
		return errStopping
	case s.down:
		return errDown
	case s.items+len(g.events) > s.config.MaxQueueItems || s.bytes+g.bytes > s.config.MaxQueueBytes:
		return fmt.Errorf("%w: %d events wait already", event.ErrBusy, s.items)
	case oldest != nil && g.arrived.Sub(oldest.arrived) > s.config.GiveUpAfter*3/4:
		return fmt.Errorf("%w: the oldest of %d events has waited for most of its time", event.ErrBusy, s.items)
	}
	s.items += len(g.events)
	s.bytes += g.bytes
	s.queue.push(g)
	if s.wanted(g.arrived) {
		s.work.Signal()
	} else if !s.timed {
		s.timed = true
		s.late.Reset(longEnough)
	}
	return nil
}

// One writer takes whatever waits, so that a lone event is written at once. Another
// joins those that are at work when enoughForAnother events wait, for each costs
// the database a transaction, which few events don't pay for; or when one has
// waited for longEnough, as behind a connection that hangs.
const (
	enoughForAnother = 256
	longEnough       = 25 * time.Millisecond
)

// wanted says whether a writer should take what waits now.
func (s *Service) wanted(now time.Time) bool {
	oldest := s.queue.oldest()
	return oldest != nil &&
		(s.busy == 0 || s.queue.items >= enoughForAnother || now.Sub(oldest.arrived) >= longEnough)
}

// overdue wakes a writer for what has waited for longEnough. Others who come would do so,
// too; but when as many requests wait as are let in, nobody comes.
func (s *Service) overdue() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	oldest := s.queue.oldest()
	s.timed = oldest != nil && !s.stopped && !s.wanted(now)
	switch {
	case s.timed:
		s.late.Reset(max(longEnough-now.Sub(oldest.arrived), time.Millisecond))
	case oldest != nil:
		s.work.Signal()
	}
}

// take moves what waits into b, up to a batch. It returns false when the service
// has stopped and nothing waits.
func (s *Service) take(b *batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var now time.Time
	for {
		now = time.Now()
		s.dropLate(now)
		if s.wanted(now) {
			break
		}
		if s.stopped && s.queue.items == 0 {
			return false
		}
		s.work.Wait()
	}
	s.busy++
	b.parts = s.queue.take(b.parts[:0], s.config.MaxBatch)
	if s.wanted(now) {
		s.work.Signal()
	}
	return true
}

// idle notes that a writer has no batch any more.
func (s *Service) idle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	if s.stopped {
		s.work.Broadcast() // what waits may be the others' last
	}
	// Else this writer is back in a moment, and takes what waits itself.
}

// dropLate answers the groups whose time is over before a writer came to them.
func (s *Service) dropLate(now time.Time) {
	latest := now.Add(-s.config.GiveUpAfter)
	for g := s.queue.oldest(); g != nil && g.arrived.Before(latest); g = s.queue.oldest() {
		s.refuseOldest(errTooLate)
	}
}

// refuseOldest answers the group that has waited the longest, or what is left of it.
func (s *Service) refuseOldest(err error) {
	g := s.queue.oldest()
	rest := g.events[g.taken:]
	for i := range rest {
		s.bytes -= rest[i].Size()
	}
	s.items -= len(rest)
	s.queue.items -= len(rest)
	s.queue.drop()
	g.settle(len(rest), err)
}
