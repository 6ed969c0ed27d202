package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"highload.example/analytics/gen/pgdb"
)

// attachWait is how long a partition that nobody needs yet waits for its locks.
// ATTACH has to wait for whoever runs ANALYZE on the table, for one, and holds the
// lock of partition makers meanwhile: a replica that has just started asks it for
// every month of its first batch, and would wait as long.
const attachWait = 250 * time.Millisecond

// foldRows is how many rows of event_counts are folded in one transaction: of a
// million rows, on 2 cores, 7 ms of work in the median, 66 ms at worst, with an old
// snapshot about. A row is kept from its writer for no longer than that.
const foldRows = 2000

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

// Fold makes quarter hours of minutes before the given instant, which is rounded
// down to a quarter hour: some of them in one transaction, the oldest first. It
// returns how many rows there are fewer or became another, and whether there may be
// more to fold. Another process that folds at the same moment is left to it. Errors
// match event.ErrUnavailable when the database doesn't answer.
func (s *Store) Fold(ctx context.Context, before time.Time) (rows int, more bool, err error) {
	folded, err := s.queries.FoldCounts(ctx, pgdb.FoldCountsParams{
		Before: timestamptz(before.Truncate(15 * time.Minute).Unix()), RowLimit: foldRows,
	})
	if err != nil {
		return 0, false, s.translate(ctx, "fold counts", err)
	}
	return int(folded.RowCount), folded.RowCount > 0, nil
}
