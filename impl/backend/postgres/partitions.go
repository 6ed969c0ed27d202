package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// What both the calendar of PostgreSQL and the names of its partitions can
// hold, in Unix seconds: the years 1 to 9999.
const (
	minOccurredAt = -62135596800
	maxOccurredAt = 253402300799
)

// month returns the Unix seconds at which the month of an instant begins and
// at which the next one begins, in UTC.
func month(unix int64) (begin, end int64) {
	y, m, _ := time.Unix(unix, 0).UTC().Date()
	return time.Date(y, m, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC).Unix()
}

// partitions remembers the months whose partition is known to be there, so that
// making sure costs nothing. It may be wrong: someone may drop a partition.
type partitions struct {
	mu    sync.RWMutex
	known map[int64]struct{} // by the month's beginning
}

func (p *partitions) has(begin int64) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	_, ok := p.known[begin]
	return ok
}

func (p *partitions) add(begin int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = make(map[int64]struct{})
	}
	p.known[begin] = struct{}{}
}

func (p *partitions) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.known)
}

// ensurePartitions makes the partitions of the given months unless they are
// known to be there. Each is made in a transaction of its own, before the
// batch's: it stays when the batch fails, which is harmless.
func (s *Store) ensurePartitions(ctx context.Context, months []int64) error {
	for _, begin := range months {
		if s.partitions.has(begin) {
			continue
		}
		if err := s.queries.EnsureEventsPartition(ctx, timestamptz(begin)); err != nil {
			return s.translate(ctx, "make a partition", err)
		}
		s.partitions.add(begin)
	}
	return nil
}

func timestamptz(unix int64) pgtype.Timestamptz {
	return pgtype.Timestamptz{Time: time.Unix(unix, 0).UTC(), Valid: true}
}
