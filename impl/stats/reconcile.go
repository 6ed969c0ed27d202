package stats

import (
	"context"
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
	var generation uint64 // of the live totals when the walk over the types began
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if s.paused() {
			continue
		}
		if cursor == "" || s.config.Live.Generation() != generation {
			cursor, generation = "", s.config.Live.Generation()
		}
		next, err := s.Reconcile(ctx, cursor)
		if err != nil {
			if ctx.Err() == nil {
				s.config.Logger.Debug("reconciliation was put off", "error", err)
			}
			continue
		}
		cursor = next
		if cursor == "" {
			s.verify(generation)
		}
	}
}

// verify notes that all live totals of a generation were compared with the record. Should
// there be another one by now, it is found not to be the one that was verified.
func (s *Service) verify(generation uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.verified = generation
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

// compare puts right the live totals that differ from the record, and returns how
// many types did.
//
// It reads the live totals first and the record second. In between the record can
// only grow, so a live total above the record's was never true (the database was
// restored, or failed over without its last commits). One below is either being
// published this moment or was lost on the way: those get time to arrive.
func (s *Service) compare(ctx context.Context, types []string) (drift int, err error) {
	live, err := s.readLive(ctx, types)
	if err != nil {
		return 0, err
	}
	// What isn't held is filled by the first who asks.
	held := slices.Sorted(maps.Keys(live))
	record, err := s.readRecord(ctx, held)
	if err != nil {
		return 0, err
	}
	var behind, untrue []string
	for _, t := range held {
		switch isBehind, isUntrue := differ(live[t], record[t]); {
		case isUntrue:
			untrue = append(untrue, t)
		case isBehind:
			behind = append(behind, t)
		}
	}
	lost, err := s.stillBehind(ctx, behind, record)
	if err != nil {
		return 0, err
	}
	for _, t := range lost {
		if err := s.fill(ctx, t, record[t]); err != nil {
			return 0, err
		}
	}
	for _, t := range untrue {
		if err := s.remake(ctx, t); err != nil {
			return 0, err
		}
	}
	return len(lost) + len(untrue), nil
}

// stillBehind returns the types whose live totals are behind the record after what
// was under way has had time to arrive.
func (s *Service) stillBehind(ctx context.Context, types []string, record map[string][]event.Total) ([]string, error) {
	if len(types) == 0 {
		return nil, nil
	}
	timer := time.NewTimer(s.config.SettleTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	live, err := s.readLive(ctx, types)
	if err != nil {
		return nil, err
	}
	var still []string
	for _, t := range types {
		if isBehind, _ := differ(live[t], record[t]); isBehind && len(live[t]) > 0 {
			still = append(still, t)
		}
	}
	return still, nil
}

// remake makes the live totals of a type anew. The record is read after they
// were forgotten: what is published before is in it, what is published after is
// merged.
func (s *Service) remake(ctx context.Context, eventType string) error {
	s.config.Logger.LogAttrs(ctx, slog.LevelWarn, "live counts were ahead of the database and are made anew")
	err := s.onLive(ctx, func(ctx context.Context) error { return s.config.Live.Forget(ctx, eventType) })
	if err != nil {
		return err
	}
	totals, err := s.config.Reader.Totals(ctx, []string{eventType})
	if err != nil || len(totals) == 0 {
		return err
	}
	return s.fill(ctx, eventType, totals)
}

func (s *Service) fill(ctx context.Context, eventType string, totals []event.Total) error {
	return s.onLive(ctx, func(ctx context.Context) error { return s.config.Live.Fill(ctx, eventType, totals) })
}

// readLive returns the live totals by type, of those types that have any.
func (s *Service) readLive(ctx context.Context, types []string) (map[string][]event.Total, error) {
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
			return nil, err
		}
	}
	return live, nil
}

// readRecord returns the record's totals by type.
func (s *Service) readRecord(ctx context.Context, types []string) (map[string][]event.Total, error) {
	if len(types) == 0 {
		return nil, nil
	}
	totals, err := s.config.Reader.Totals(ctx, types)
	if err != nil {
		return nil, err
	}
	record := make(map[string][]event.Total, len(types))
	for _, t := range totals {
		record[t.Type] = append(record[t.Type], t)
	}
	return record, nil
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
