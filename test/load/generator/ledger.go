package generator

import (
	"fmt"
	"sync/atomic"
)

// Outcome is what the sender knows of what became of an event.
type Outcome byte

// The outcomes. The zero value means that no event has the number.
const (
	Unknown   Outcome = iota + 1 // sent, and no answer came: it may be stored or not
	Unsent                       // never left the generator: it must not be stored
	Accepted                     // 202: it must be stored
	Duplicate                    // 202, and said to be there before: it must be stored
	Refused                      // 4xx: it must not be stored
	Failed                       // 5xx: it may be stored, as the contract says
)

// seen is added to the outcome of an event that was found in the database.
const seen Outcome = 0x80

const (
	pageEvents = 1 << 20
	maxPages   = 4096
)

// Ledger hands out the numbers of a run's events and keeps the outcome of each in
// a byte. It is safe for concurrent use; each number is one sender's.
type Ledger struct {
	next  atomic.Uint64
	pages [maxPages]atomic.Pointer[[pageEvents]Outcome]
}

// Take returns the first of count new numbers. Their outcome is Unknown.
func (l *Ledger) Take(count int) (first uint64) {
	first = l.next.Add(uint64(count)) - uint64(count)
	for i := range uint64(count) {
		l.Set(first+i, Unknown)
	}
	return first
}

// Set records an outcome.
func (l *Ledger) Set(number uint64, o Outcome) { *l.at(number) = o }

// Taken returns how many numbers were handed out.
func (l *Ledger) Taken() uint64 { return l.next.Load() }

func (l *Ledger) at(number uint64) *Outcome {
	if number >= maxPages*pageEvents {
		panic(fmt.Sprintf("a run of more than %d events: make it shorter", uint64(maxPages*pageEvents)))
	}
	slot := &l.pages[number/pageEvents]
	page := slot.Load()
	if page == nil {
		slot.CompareAndSwap(nil, new([pageEvents]Outcome))
		page = slot.Load()
	}
	return &page[number%pageEvents]
}
