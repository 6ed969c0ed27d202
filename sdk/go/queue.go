package analytics

import "slices"

// queue holds the events that aren't settled, in the order of tracking: those of the request under way, and
// behind them those that wait. It is not for use by several goroutines at once.
type queue struct {
	maxEvents, maxBytes int

	flight []item // the request under way
	ring   []item // those that wait are ring[head], ring[head+1], ..., around the end
	head   int
	count  int
	bytes  int // of both

	// cuts are the sizes of batches that begin at the head and were cut before: they failed and are
	// sent again as they were, or were too large and were halved.
	cuts []int
}

func (q *queue) events() int { return len(q.flight) + q.count }

// fits reports whether there is room for another event.
func (q *queue) fits(it *item) bool {
	return q.events() < q.maxEvents && q.bytes+it.size() <= q.maxBytes
}

// at returns the i-th of those that wait.
func (q *queue) at(i int) *item { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

// reserve makes the ring large enough for n events that wait. Its length is a power of two.
func (q *queue) reserve(n int) {
	if n <= len(q.ring) {
		return
	}
	length := max(64, len(q.ring))
	for length < n {
		length *= 2
	}
	ring := make([]item, length)
	for i := range q.count {
		ring[i] = *q.at(i)
	}
	q.ring, q.head = ring, 0
}

func (q *queue) push(it *item) {
	q.reserve(q.count + 1)
	q.count++
	*q.at(q.count - 1) = *it
	q.bytes += it.size()
}

// pop removes the oldest of those that wait.
func (q *queue) pop() item {
	slot := q.at(0)
	it := *slot
	*slot = item{}
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.count--
	return it
}

// dropOldest removes the oldest event that isn't under way.
func (q *queue) dropOldest() (item, bool) {
	if q.count == 0 {
		return item{}, false
	}
	it := q.pop()
	q.bytes -= it.size()
	if len(q.cuts) > 0 {
		if q.cuts[0]--; q.cuts[0] == 0 {
			q.cuts = q.cuts[1:]
		}
	}
	return it, true
}

// oldest returns the oldest event, or nil.
func (q *queue) oldest() *item {
	switch {
	case len(q.flight) > 0:
		return &q.flight[0]
	case q.count > 0:
		return q.at(0)
	}
	return nil
}

// upTo counts the events tracked up to one of them.
func (q *queue) upTo(seq uint64) int {
	n := 0
	for i := range q.flight {
		if q.flight[i].seq <= seq {
			n++
		}
	}
	for i := 0; i < q.count && q.at(i).seq <= seq; i++ {
		n++
	}
	return n
}

// full reports whether those that wait fill a batch, or one was cut before. Nothing is under way.
func (q *queue) full(maxEvents, maxBytes int) bool {
	return len(q.cuts) > 0 || q.count >= maxEvents || q.bytes > maxBytes
}

// take makes the next batch the one under way.
func (q *queue) take(maxEvents, maxBytes int) []item {
	n := 0
	if len(q.cuts) > 0 {
		n, q.cuts = q.cuts[0], q.cuts[1:]
	} else {
		for bytes := 0; n < min(q.count, maxEvents); n++ {
			if bytes += q.at(n).size(); n > 0 && bytes > maxBytes {
				break
			}
		}
	}
	for range n {
		q.flight = append(q.flight, q.pop())
	}
	return q.flight
}

// cut puts batches of these sizes before the others that were cut.
func (q *queue) cut(sizes ...int) { q.cuts = slices.Concat(sizes, q.cuts) }

// landed ends the request under way. The events that keep returns true for wait again, at the head, in the order that they had.
func (q *queue) landed(keep func(i int) bool) (kept int) {
	q.reserve(q.count + len(q.flight))
	for i := len(q.flight) - 1; i >= 0; i-- {
		it := &q.flight[i]
		if !keep(i) {
			q.bytes -= it.size()
			*it = item{}
			continue
		}
		q.head = (q.head - 1) & (len(q.ring) - 1)
		q.count++
		*q.at(0) = *it
		*it = item{}
		kept++
	}
	q.flight = q.flight[:0]
	return kept
}
