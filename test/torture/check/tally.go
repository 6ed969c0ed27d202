package check

import (
	"math"
	"slices"
)

// tally counts events of one type by their timestamps: a Fenwick tree (Fenwick, "A
// new data structure for cumulative frequency tables", 1994), so that an event more
// and a question both cost the logarithm of the number of timestamps.
type tally struct {
	at   []int64 // every timestamp that an event may have, ascending
	tree []int32
}

// newTally returns an empty tally. It sorts at.
func newTally(at []int64) *tally {
	slices.Sort(at)
	at = slices.Compact(at)
	return &tally{at: at, tree: make([]int32, len(at)+1)}
}

// clear makes the tally empty.
func (t *tally) clear() { clear(t.tree) }

// add counts an event.
func (t *tally) add(at int64) {
	i, _ := slices.BinarySearch(t.at, at)
	for i++; i < len(t.tree); i += i & -i {
		t.tree[i]++
	}
}

// between returns how many events have a timestamp in [from, to).
func (t *tally) between(from, to int64) int64 { return t.before(to) - t.before(from) }

func (t *tally) before(at int64) int64 {
	var sum int64
	i, _ := slices.BinarySearch(t.at, at)
	if at == math.MaxInt64 { // a range without an end has that, too
		i = len(t.at)
	}
	for ; i > 0; i -= i & -i {
		sum += int64(t.tree[i])
	}
	return sum
}
