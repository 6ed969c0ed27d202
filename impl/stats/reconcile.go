package stats

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"highload.example/analytics/impl/event"
)

// Run reconciles until ctx ends: every period it compares the live totals of the
// suspects, and of the next so many types, with the record.
func (s *Service) Run(ctx context.Context) {
	ticker := time.NewTicker(s.config.RecordPeriod)
	defer ticker.Stop()
	cursor := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if s.paused() {
			continue
		}
		next, err := s.Reconcile(ctx, cursor)
		if err != nil {
			if ctx.Err() == nil {
				s.config.Logger.Debug("reconciliation was put off", "error", err)
			}
			continue
		}
		cursor = next
	}
}

// Reconcile compares the live totals of the suspects and of the types after
// cursor with the record, puts right what differs, and returns the cursor
// of the next round, which is empty when the types came to their end.
func (s *Service) Reconcile(ctx context.Context, cursor string) (next string, err error) {
	types, err := s.config.Reader.Types(ctx, cursor, s.config.RoundTypes)
	if err != nil {
		return cursor, err
	}
	if len(types) == s.config.RoundTypes {
		next = types[len(types)-1]
	}
	s.mu.Lock()
	suspects := maps.Clone(s.suspects)
	s.mu.Unlock()
	for t := range suspects {
		if !slices.Contains(types, t) {
			types = append(types, t)
		}
	}
	drift, err := s.compare(ctx, types)
	if err != nil {
		return cursor, err
	}
	s.clearSuspects(suspects)
	s.config.Observer.Drift(drift)
	return next, nil
}

// compare reads the live totals first and the record second. In between the
// record can only grow, so a live total above the record's was never true (the
// database was restored or failed over without its last commits): it is
// forgotten. One below is a publication that was lost: it is made up for.
func (s *Service) compare(ctx context.Context, types []string) (drift int, err error) {
	live := make(map[string][]event.Total, len(types))
	for _, t := range types {
		err := s.onLive(ctx, func(ctx context.Context) error {
			totals, err := s.config.Live.Totals(ctx, t)
			if err == nil && len(totals) > 0 {
				live[t] = totals
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	held := make([]string, 0, len(live))
	for t := range live {
		held = append(held, t)
	}
	if len(held) == 0 {
		return 0, nil // what isn't held is filled by the first who asks
	}
	slices.Sort(held)
	recorded, err := s.config.Reader.Totals(ctx, held)
	if err != nil {
		return 0, err
	}
	record := make(map[string][]event.Total, len(held))
	for _, t := range recorded {
		record[t.Type] = append(record[t.Type], t)
	}
	var errs []error
	for _, t := range held {
		behind, untrue := differ(live[t], record[t])
		if !behind && !untrue {
			continue
		}
		drift++
		errs = append(errs, s.onLive(ctx, func(ctx context.Context) error {
			if untrue {
				s.config.Logger.LogAttrs(ctx, slog.LevelWarn, "live counts were ahead of the database and are made anew")
				if err := s.config.Live.Forget(ctx, t); err != nil {
					return err
				}
			}
			return s.config.Live.Fill(ctx, t, record[t])
		}))
	}
	return drift, errors.Join(errs...)
}

// differ compares the totals of one type: behind when the record has more in a
// slot, untrue when the live side has.
func differ(live, record []event.Total) (behind, untrue bool) {
	counts := make(map[int32]int64, len(record))
	for _, t := range record {
		counts[t.Slot] = t.Count
	}
	for _, t := range live {
		switch recorded := counts[t.Slot]; {
		case t.Count > recorded:
			untrue = true
		case t.Count < recorded:
			behind = true
		}
		delete(counts, t.Slot)
	}
	for _, n := range counts {
		behind = behind || n > 0
	}
	return behind, untrue
}

// clearSuspects clears the suspects that were compared, but for those that
// became suspect again meanwhile.
func (s *Service) clearSuspects(compared map[string]uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, failure := range compared {
		if s.suspects[t] == failure {
			delete(s.suspects, t)
		}
	}
}
