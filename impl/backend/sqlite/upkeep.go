package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"highload.example/analytics/gen/sqlitedb"
)

// foldRows is how many rows of event_counts are folded in one transaction, which
// batches wait for: 12 ms of work on 2 cores.
const foldRows = 5000

// EnsurePartitions does nothing: the file has none.
func (s *Store) EnsurePartitions(context.Context, time.Time, time.Time) error { return nil }

// Fold makes quarter hours of minutes before the given instant, which is rounded
// down to a quarter hour: some of them in one transaction, the oldest first. It
// returns how many rows became part of another, and whether there may be more to
// fold. Errors match event.ErrUnavailable when the file can't be written.
func (s *Store) Fold(ctx context.Context, before time.Time) (rows int, more bool, err error) {
	const doing = "fold counts"
	session, err := s.take(ctx)
	if err != nil {
		return 0, false, err
	}
	usable := false // unless transaction returns and says so
	defer func() { s.giveBack(session, usable) }()
	unbroken := context.WithoutCancel(ctx) // see session
	end := before.Truncate(15 * time.Minute).Unix()
	usable, err = session.transaction(ctx, func() error {
		if err := session.queries.SetHorizon(unbroken, end); err != nil {
			return err
		}
		last, err := session.queries.NthUnfolded(unbroken, sqlitedb.NthUnfoldedParams{Before: end, N: foldRows - 1})
		switch {
		case errors.Is(err, sql.ErrNoRows):
			last.Bucket = end // all there are: no type's name is empty
		case err != nil:
			return err
		default:
			more = true
		}
		if err := session.queries.FoldMinutes(unbroken, sqlitedb.FoldMinutesParams(last)); err != nil {
			return err
		}
		dropped, err := session.queries.DropMinutes(unbroken, sqlitedb.DropMinutesParams(last))
		rows = int(dropped)
		return err
	})
	if err != nil {
		return 0, false, translate(ctx, doing, err)
	}
	return rows, more, nil
}
