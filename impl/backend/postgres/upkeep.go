package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// attachWait is how long a partition that nobody needs yet waits for its locks.
// ATTACH has to wait for whoever runs ANALYZE on the table, for one, and holds the
// lock of partition makers meanwhile: a replica that has just started asks it for
// every month of its first batch, and would wait as long.
const attachWait = 250 * time.Millisecond

// EnsurePartitions makes the partitions for the months of all instants from one to
// another, unless they are there. Inserts go on meanwhile. Errors match
// event.ErrUnavailable when the database doesn't answer, or a lock is not to be had
// at once: then it may be tried again later, and what was made stays.
func (s *Store) EnsurePartitions(ctx context.Context, from, to time.Time) error {
	for at := from.Unix(); at <= to.Unix(); {
		begin, end := month(at)
		at = end
		if s.partitions.has(begin) {
			continue
		}
		err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			q := s.queries.WithTx(tx)
			if err := q.SetLockTimeout(ctx, milliseconds(attachWait)); err != nil {
				return err
			}
			return q.EnsureEventsPartition(ctx, timestamptz(begin))
		})
		if err != nil {
			return s.translate(ctx, "make a partition ahead", err)
		}
		s.partitions.add(begin)
	}
	return nil
}
