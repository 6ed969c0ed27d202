package postgres

import (
	"context"
	"time"

	"highload.example/analytics/gen/pgdb"
)

// foldRows is how many rows of event_counts are folded in one transaction: about
// 20 ms of work, of a million rows, on 2 cores. A row is kept from its writer for
// no longer than that.
const foldRows = 2000

// EnsurePartitions makes the partitions for the months of all instants from one to
// another, unless they are there. Inserts go on meanwhile. Errors match
// event.ErrUnavailable when the database doesn't answer.
func (s *Store) EnsurePartitions(ctx context.Context, from, to time.Time) error {
	var months []int64
	for at := from.Unix(); at <= to.Unix(); {
		begin, end := month(at)
		months = append(months, begin)
		at = end
	}
	return s.ensurePartitions(ctx, months)
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
