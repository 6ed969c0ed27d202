package postgres

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"time"

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
	if l.Oldest {
		return s.exportWindow(ctx, l, &w, yield)
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
	return nil
}

// exportWindow lists the first window that has events.
//
// They are read in no order and sorted here: PostgreSQL took 15 of the 21 ms that it
// worked on 10,000 events to sort them. It does so still when they are more than are
// held here.
func (s *Store) exportWindow(ctx context.Context, l *query.Listing, w *windows, yield func(*event.Event) error) error {
	for {
		begin, end, more := w.next()
		if !more {
			return nil
		}
		started := time.Now()
		found, err := s.collectWindow(ctx, l, begin, end)
		if err != nil {
			return err
		}
		l.Pace = pace(end-begin, found, l.Limit, time.Since(started))
		if found.tooMany {
			_, err := s.listWindow(ctx, l, begin, end, l.Limit, yield)
			return err
		}
		if len(found.events) > 0 {
			return found.each(yield)
		}
		w.length = l.Pace
	}
}

// slowWindow is how long a window may take to read for the next one to be longer.
const slowWindow = 500 * time.Millisecond

// pace returns how long the next window should be, in seconds: as many events as are
// wanted and no more bytes than make a page, as far as this one tells. One that took
// its time without finding so much is not to be followed by a longer one: the longest
// statement that is allowed isn't far.
func pace(length int64, found *window, limit int, took time.Duration) int64 {
	longest := 4 * length
	if took > slowWindow {
		longest = length
	}
	if found.tooMany {
		longest = length / 2
	}
	enough := float64(length) * min(float64(limit)/float64(max(len(found.events), 1)), query.PageBytes/float64(max(found.bytes, 1)))
	return max(min(longest, int64(enough)), 1)
}

// window holds the events of a stretch of time.
type window struct {
	events  []event.Event
	bytes   int  // of their payloads
	tooMany bool // the rest was left out
}

// collectWindow reads the events of a window in no order, unless they are more than
// twice of what is wanted.
func (s *Store) collectWindow(ctx context.Context, l *query.Listing, from, to int64) (*window, error) {
	const doing = "export events"
	most := 2 * l.Limit
	statement := list(l, from, to, most+1, false)
	rows, err := s.questions.pool.Query(ctx, statement.text.String(), statement.args...)
	if err != nil {
		return nil, s.translateQuestion(ctx, doing, err)
	}
	defer rows.Close()
	w := &window{}
	types := map[string]string{}
	var arena []byte
	for rows.Next() {
		raw := rows.RawValues()
		payload := raw[4]
		w.bytes += len(payload)
		if w.tooMany = w.tooMany || len(w.events) == most || w.bytes > 2*query.PageBytes; w.tooMany {
			continue // what PostgreSQL has sent must be read
		}
		eventType, known := types[string(raw[3])]
		if !known {
			eventType = string(raw[3])
			types[eventType] = eventType
		}
		e := readEvent(raw, eventType)
		if payload != nil {
			if len(payload) > cap(arena)-len(arena) {
				arena = make([]byte, 0, max(arenaBytes, len(payload)))
			}
			begin := len(arena)
			arena = append(arena, payload...)
			e.Payload = arena[begin:len(arena):len(arena)]
		}
		w.events = append(w.events, e)
	}
	return w, s.translateQuestion(ctx, doing, rows.Err())
}

// arenaBytes is how much memory payloads get at a time.
const arenaBytes = 256 << 10

// each hands the events over, the oldest first.
func (w *window) each(yield func(*event.Event) error) error {
	slices.SortFunc(w.events, func(a, b event.Event) int {
		return cmp.Or(cmp.Compare(a.OccurredAt, b.OccurredAt), bytes.Compare(a.ID[:], b.ID[:]), cmp.Compare(a.UserID, b.UserID))
	})
	for i := range w.events {
		if err := yield(&w.events[i]); err != nil {
			return err
		}
	}
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
	statement := list(l, from, to, limit, true)
	rows, err := s.questions.pool.Query(ctx, statement.text.String(), statement.args...)
	if err != nil {
		return 0, s.translateQuestion(ctx, doing, err)
	}
	defer rows.Close()
	for rows.Next() {
		raw := rows.RawValues()
		e := readEvent(raw, string(raw[3]))
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

// readEvent reads a row of a list's statement, but for the payload.
func readEvent(raw [][]byte, eventType string) event.Event {
	return event.Event{
		UserID:     int64(binary.BigEndian.Uint64(raw[0])),
		OccurredAt: unixSeconds(raw[1]),
		ID:         event.ID(raw[2]),
		Type:       eventType,
	}
}

// list returns the statement of one window. Its rows are: user, time, id, type, payload.
func list(l *query.Listing, from, to int64, limit int, ordered bool) *statement {
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
	if ordered {
		s.write(" ORDER BY e.occurred_at", direction, ", e.event_id", direction, ", e.user_id", direction)
	}
	s.write(" LIMIT ", s.arg(int64(limit)), "::bigint")
	return s
}
