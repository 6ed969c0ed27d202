package analytics

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestQueueAgainstAList does the same to a queue and to a list, at random.
func TestQueueAgainstAList(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		q := &queue{maxEvents: 1 + random.IntN(200), maxBytes: 1 + random.IntN(5000)}
		var waiting, flight []item // the list
		seq := uint64(0)
		for range 500 {
			switch random.IntN(4) {
			case 0, 1:
				seq++
				it := item{line: make([]byte, 1+random.IntN(50)), seq: seq}
				bytes := it.size()
				for _, other := range slices.Concat(waiting, flight) {
					bytes += other.size()
				}
				fits := len(waiting)+len(flight) < q.maxEvents && bytes <= q.maxBytes
				if q.fits(&it) != fits {
					t.Fatalf("seed %d: fits: %t", seed, !fits)
				}
				if fits {
					q.push(&it)
					waiting = append(waiting, it)
				}
			case 2:
				it, ok := q.dropOldest()
				if ok != (len(waiting) > 0) || ok && it.seq != waiting[0].seq {
					t.Fatalf("seed %d: dropped %d of %v", seed, it.seq, seqs(waiting))
				}
				if ok {
					waiting = waiting[1:]
				}
			case 3:
				switch {
				case len(flight) > 0:
					kept := map[int]bool{}
					var back []item
					for i := range flight {
						if random.IntN(2) == 0 {
							kept[i] = true
							back = append(back, flight[i])
						}
					}
					if n := q.landed(func(i int) bool { return kept[i] }); n != len(back) {
						t.Fatalf("seed %d: %d kept, not %d", seed, n, len(back))
					}
					if n := len(back); n > 1 && random.IntN(2) == 0 {
						q.cut((n+1)/2, n/2)
					} else if n > 0 {
						q.cut(n)
					}
					waiting = append(back, waiting...)
					flight = nil
				case len(waiting) > 0:
					maxEvents, maxBytes := 1+random.IntN(20), 1+random.IntN(500)
					cut := len(q.cuts) > 0
					taken := q.take(maxEvents, maxBytes)
					bytes := 0
					for i := range taken {
						bytes += taken[i].size()
					}
					if len(taken) == 0 || !cut && (len(taken) > maxEvents || len(taken) > 1 && bytes > maxBytes) {
						t.Fatalf("seed %d: took %d events with %d bytes, at most %d with %d", seed, len(taken), bytes, maxEvents, maxBytes)
					}
					flight = slices.Clone(waiting[:len(taken)])
					waiting = waiting[len(taken):]
				}
			}
			if !slices.Equal(seqs(q.flight), seqs(flight)) {
				t.Fatalf("seed %d: under way %v, want %v", seed, seqs(q.flight), seqs(flight))
			}
			var got []uint64
			for i := range q.count {
				got = append(got, q.at(i).seq)
			}
			if !slices.Equal(got, seqs(waiting)) {
				t.Fatalf("seed %d: waiting %v, want %v", seed, got, seqs(waiting))
			}
			bytes, cuts := 0, 0
			for _, it := range slices.Concat(waiting, flight) {
				bytes += it.size()
			}
			for _, n := range q.cuts {
				cuts += n
			}
			if q.bytes != bytes || cuts > len(waiting) || slices.Contains(q.cuts, 0) {
				t.Fatalf("seed %d: %d bytes, want %d; cuts %v of %d", seed, q.bytes, bytes, q.cuts, len(waiting))
			}
			// What isn't used any more is let go.
			for i := range q.ring {
				if (i-q.head)&(len(q.ring)-1) >= q.count && q.ring[i].line != nil {
					t.Fatalf("seed %d: a free place holds an event", seed)
				}
			}
		}
	}
}

func seqs(items []item) []uint64 {
	var list []uint64
	for _, it := range items {
		list = append(list, it.seq)
	}
	return list
}
