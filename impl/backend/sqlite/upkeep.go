package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// EnsurePartitions does nothing: the file has none.
func (s *Store) EnsurePartitions(context.Context, time.Time, time.Time) error { return nil }

// Fold makes a quarter hour of the oldest minutes before the given instant, which
// is rounded down to a quarter hour. It returns how many rows became part of it,
// and whether there may be more to fold. Errors match event.ErrUnavailable when the
// file can't be written.
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
		oldest, err := session.queries.OldestUnfolded(unbroken, end)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		quarter := floor(oldest, 900)
		if err := session.queries.FoldQuarter(unbroken, quarter); err != nil {
			return err
		}
		dropped, err := session.queries.DropMinutes(unbroken, quarter)
		rows, more = int(dropped), true
		return err
	})
	if err != nil {
		return 0, false, translate(ctx, doing, err)
	}
	return rows, more, nil
}
