package postgres

import (
	"context"
	"encoding/binary"

	"github.com/jackc/pgx/v5/pgtype"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/query"
)

// List implements query.Reader.
//
// Of one user or type an index has the events in order. Of all together none has: an index
// by time would cost every event that is stored. So a window of time is read, and the next
// one, until there are enough; each is found through the index by type and time.
func (s *Store) List(ctx context.Context, l *query.Listing, yield func(*event.Event) error) error {
	from, to := l.Slice.From, l.Slice.To
	if l.After != nil {
		if l.Oldest {
			from = max(from, l.After.OccurredAt)
		} else {
			to = min(to, l.After.OccurredAt+1)
		}
	}
	if from >= to {
		return nil
	}
	if l.Slice.UserID != 0 || len(l.Slice.Types) == 1 {
		_, err := s.listWindow(ctx, l, from, to, l.Limit, yield)
		return err
	}
	return s.listWindows(ctx, l, from, to, yield)
}

// firstWindow is how long the first window is, in seconds, when nothing is known: at the
// highest rates it has some ten thousand events.
const firstWindow = 2

func (s *Store) listWindows(ctx context.Context, l *query.Listing, from, to int64, yield func(*event.Event) error) error {
	span, err := s.questions.queries.EventSpan(ctx)
	if err != nil {
		return s.translateQuestion(ctx, "find the first and the last event", err)
	}
	if span.First.InfinityModifier != pgtype.Finite {
		return nil // there are no events
	}
	w := windows{
		oldest: l.Oldest, from: max(from, span.First.Time.Unix()), to: min(to, span.Last.Time.Unix()),
		length: max(l.Pace, firstWindow),
	}
	for found := 0; found < l.Limit; {
		begin, end, more := w.next()
		if !more {
			break
		}
		n, err := s.listWindow(ctx, l, begin, end, l.Limit-found, yield)
		if err != nil {
			return err
		}
		found += n
		w.adapt(found, l.Limit)
	}
	l.Pace = w.spanned
	return nil
}

// windows cuts a range of time into windows, one after the other.
type windows struct {
	oldest   bool  // from the beginning on, else from the end back
	from, to int64 // what is left
	length   int64 // of the next window, in seconds
	spanned  int64 // by all so far
}

func (w *windows) next() (begin, end int64, more bool) {
	if w.from >= w.to {
		return 0, 0, false
	}
	if w.oldest {
		begin, end = w.from, min(w.to, w.from+w.length)
		w.from = end
	} else {
		begin, end = max(w.from, w.to-w.length), w.to
		w.to = begin
	}
	w.spanned += end - begin
	return begin, end, true
}

// adapt chooses the length of the next window, for as many events as are still wanted; of an
// empty range four times as long as all before.
func (w *windows) adapt(found, wanted int) {
	w.length = 4 * max(min(w.spanned, 1<<40), firstWindow)
	if found > 0 {
		enough := float64(w.spanned) * float64(wanted-found) / float64(found) * 1.2
		w.length = min(w.length, max(int64(enough), firstWindow))
	}
}

// listWindow reads the events of one window, at most so many.
func (s *Store) listWindow(ctx context.Context, l *query.Listing, from, to int64, limit int, yield func(*event.Event) error) (n int, err error) {
	const doing = "list events"
	statement := list(l, from, to, limit)
	rows, err := s.questions.pool.Query(ctx, statement.text.String(), statement.args...)
	if err != nil {
		return 0, s.translateQuestion(ctx, doing, err)
	}
	defer rows.Close()
	for rows.Next() {
		raw := rows.RawValues()
		e := event.Event{
			UserID:     int64(binary.BigEndian.Uint64(raw[0])),
			OccurredAt: unixSeconds(raw[1]),
			ID:         event.ID(raw[2]),
			Type:       string(raw[3]),
		}
		if raw[4] != nil {
			e.Payload = append([]byte{}, raw[4]...)
		}
		n++
		if err := yield(&e); err != nil {
			return n, err
		}
	}
	return n, s.translateQuestion(ctx, doing, rows.Err())
}

// list returns the statement of one window. Its rows are: user, time, id, type, payload.
func list(l *query.Listing, from, to int64, limit int) *statement {
	s := &statement{}
	slice := l.Slice
	slice.From, slice.To = from, to
	s.write("SELECT e.user_id, e.occurred_at, e.event_id, e.event_type, e.payload")
	s.from(&slice)
	if len(slice.Types) == 0 && slice.UserID == 0 {
		s.write(" AND e.event_type = ANY(ARRAY(SELECT DISTINCT t.event_type FROM event_totals t))")
	}
	direction, beyond := " DESC", " < "
	if l.Oldest {
		direction, beyond = "", " > "
	}
	if l.After != nil {
		s.write(" AND (e.occurred_at, e.event_id, e.user_id)", beyond, "(", s.arg(timestamptz(l.After.OccurredAt)), "::timestamptz, ",
			s.arg(pgtype.UUID{Bytes: l.After.ID, Valid: true}), "::uuid, ", s.arg(l.After.UserID), "::bigint)")
	}
	s.write(" ORDER BY e.occurred_at", direction, ", e.event_id", direction, ", e.user_id", direction, " LIMIT ", s.arg(int64(limit)), "::bigint")
	return s
}
