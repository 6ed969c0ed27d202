package memory

import (
	"context"
	"hash/maphash"
	"math"
	"strings"
	"sync"
	"time"

	"highload.example/analytics/impl/ratelimit"
)

// Limits keeps clients' buckets by the generic cell rate algorithm, whose source
// is named at ratelimit.Policy.Take: one moment per client, when its bucket is full
// again.
type Limits struct {
	clock    func() time.Time
	start    time.Time
	seed     maphash.Seed
	shards   []limitShard
	perShard int
}

var _ ratelimit.Store = (*Limits)(nil)

type limitShard struct {
	mu      sync.Mutex
	buckets map[string]*bucket
	_       [48]byte // its neighbour's lock is on another cache line
}

// bucket is full from this time on, counted from the start.
type bucket struct{ fullAt time.Duration }

// NewLimits returns empty buckets: at most maxClients of them, at least 1, are
// remembered.
func NewLimits(clock func() time.Time, maxClients int) *Limits {
	shards := 64
	if maxClients < 16*shards {
		shards = 1 // too few for an even spread
	}
	l := &Limits{
		clock:    clock,
		start:    clock(),
		seed:     maphash.MakeSeed(),
		shards:   make([]limitShard, shards),
		perShard: max(maxClients/shards, 1),
	}
	for i := range l.shards {
		l.shards[i].buckets = map[string]*bucket{}
	}
	return l
}

// Take implements ratelimit.Store. It has no errors.
func (l *Limits) Take(_ context.Context, key string, policy ratelimit.Policy, need, want int) (ratelimit.Grant, error) {
	now := l.clock().Sub(l.start)
	s := &l.shards[maphash.String(l.seed, key)%uint64(len(l.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[key]
	var debt time.Duration
	if b != nil {
		debt = b.fullAt - now
	}
	grant, debt := policy.Take(debt, need, want)
	if grant.Granted > 0 {
		if b == nil {
			b = l.insert(s, key, now)
		}
		b.fullAt = now + debt
	}
	return grant, nil
}

// insert adds a bucket. Each time it looks at a few others, wherever the map
// begins, and drops those that are full again, which is what an unknown client's
// is. When the shard is at its bound and all those few are wanted, the one of
// them that is full the soonest goes: its client gains the least.
func (l *Limits) insert(s *limitShard, key string, now time.Duration) *bucket {
	const few = 8
	var (
		victim  string
		soonest time.Duration = math.MaxInt64
		seen    int
	)
	for k, b := range s.buckets {
		switch {
		case b.fullAt <= now:
			delete(s.buckets, k)
		case b.fullAt < soonest:
			victim, soonest = k, b.fullAt
		}
		if seen++; seen == few {
			break
		}
	}
	if len(s.buckets) >= l.perShard {
		delete(s.buckets, victim)
	}
	b := &bucket{}
	s.buckets[strings.Clone(key)] = b // the caller's key may be a piece of something large
	return b
}

// Len returns the number of clients remembered.
func (l *Limits) Len() (n int) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.buckets)
		s.mu.Unlock()
	}
	return n
}
