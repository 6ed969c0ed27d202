package query

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"highload.example/analytics/impl/event"
)

// Config says what a Service works with. All of it is needed; zero numbers get the
// defaults named.
type Config struct {
	Counter  Counter
	Reader   Reader
	Totals   Totals
	Probe    func(ctx context.Context) error // whether the store answers at all
	Observer Observer
	Clock    func() time.Time

	Timeout     time.Duration // how long one question may take; 10 s
	Wait        time.Duration // how long it may wait for its turn; 2 s
	Concurrency int           // questions that read events at once; 4
	Exports     int           // exports at once; 2
	MaxEvents   int64         // events that one question may read; 50,000,000
}

func (c Config) withDefaults() Config {
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Wait <= 0 {
		c.Wait = 2 * time.Second
	}
	if c.Concurrency <= 0 {
		c.Concurrency = 4
	}
	if c.Exports <= 0 {
		c.Exports = 2
	}
	if c.MaxEvents <= 0 {
		c.MaxEvents = 50_000_000
	}
	return c
}

// Service answers questions. Use New.
type Service struct {
	config  Config
	turns   chan struct{} // one for each question that reads events
	exports chan struct{}
}

// New returns a service.
func New(config Config) *Service {
	c := config.withDefaults()
	return &Service{config: c, turns: make(chan struct{}, c.Concurrency), exports: make(chan struct{}, c.Exports)}
}

// answer measures one operation and bounds its time.
func (s *Service) answer(ctx context.Context, operation string, work func(ctx context.Context, plan *Plan) error) (plan Plan, err error) {
	began := s.config.Clock()
	within, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	err = work(within, &plan)
	if err != nil && within.Err() != nil && ctx.Err() == nil && !errors.Is(err, event.ErrBusy) {
		err = s.tooLong(ctx) // not the client gave up, we did
	}
	s.config.Observer.QuestionAnswered(operation, plan, s.config.Clock().Sub(began), err)
	return plan, err
}

// tooLong says why a question got no answer in time: it was too much, unless the store
// doesn't answer anybody.
func (s *Service) tooLong(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := s.config.Probe(ctx); err != nil {
		return fmt.Errorf("answering a question: %w", err)
	}
	return fmt.Errorf("%w: it took longer than %s; ask about a shorter range, fewer types or fewer groups", ErrTooExpensive, s.config.Timeout)
}

const probeTimeout = time.Second

// turn waits for one of the places of those who read events. Errors match event.ErrBusy.
func (s *Service) turn(ctx context.Context, places chan struct{}) (leave func(), err error) {
	timer := time.NewTimer(s.config.Wait)
	defer timer.Stop()
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-timer.C:
		return nil, fmt.Errorf("waiting for other questions to end: %w", event.ErrBusy)
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for other questions to end: %w", ctx.Err())
	}
}

// affordable counts the events that have to be read, and says if they are too many.
func (s *Service) affordable(ctx context.Context, slice *Slice) (events int64, err error) {
	types := slice.Types
	if s.config.Reader.ReadsAllTypes() {
		types = nil
	}
	from, to := slice.From-mod(slice.From, 60), slice.To+mod(-slice.To, 60)
	if from >= to {
		return 0, nil
	}
	if err := s.config.Counter.MinuteCounts(ctx, types, []int64{from, to}, func(_ string, _ int, n int64) { events += n }); err != nil {
		return 0, err
	}
	if events > s.config.MaxEvents {
		return 0, fmt.Errorf("%w: it would read %d events, of at most %d; ask about a shorter range or fewer types", ErrTooExpensive, events, s.config.MaxEvents)
	}
	return events, nil
}

// TypesPage is a part of the list of types.
type TypesPage struct {
	Types []TypeCount
	Next  string // cursor; empty on the last page
}

// RankTypes lists the types that begin with prefix, the most frequent first.
func (s *Service) RankTypes(ctx context.Context, prefix, cursor string, limit int) (page TypesPage, plan Plan, err error) {
	var c checker
	after, ok := parseTypeCursor(cursor)
	if !ok {
		c.fail("#query/cursor", "format", "must be the next_cursor of a page")
	}
	if err := c.err(); err != nil {
		return page, "", err
	}
	if limit == 0 {
		limit = DefaultLimit
	}
	plan, err = s.answer(ctx, "types", func(ctx context.Context, plan *Plan) error {
		*plan = FromTotals
		found, err := s.config.Counter.RankedTypes(ctx, prefix, after, limit+1)
		if err != nil {
			return err
		}
		if len(found) > limit {
			found = found[:limit]
			last := found[limit-1]
			page.Next = strconv.FormatInt(last.Count, 10) + "_" + last.Type
		}
		page.Types = found
		return nil
	})
	return page, plan, err
}

func parseTypeCursor(cursor string) (after *TypeCount, ok bool) {
	if cursor == "" {
		return nil, true
	}
	count, eventType, _ := strings.Cut(cursor, "_")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		return nil, false
	}
	return &TypeCount{Type: eventType, Count: n}, true
}

// CountType counts the events of a type, in a range if an end of one is given.
func (s *Service) CountType(ctx context.Context, eventType string, from, to *int64) (count int64, plan Plan, err error) {
	var c checker
	begin, end := bounds(from, to)
	c.period("#query/to", begin, end)
	if err := c.err(); err != nil {
		return 0, "", err
	}
	plan, err = s.answer(ctx, "count", func(ctx context.Context, plan *Plan) error {
		if from == nil && to == nil {
			*plan = FromTotals
			count, err = s.config.Totals.Count(ctx, eventType)
			return err
		}
		counts, err := s.countBuckets(ctx, []string{eventType}, []int64{begin, end}, plan)
		if err == nil {
			count = counts.of(eventType)[0]
		}
		return err
	})
	return count, plan, err
}

// earliest and latest bound every event's time, in Unix seconds: the years 2000 to 9999.
const (
	earliest = 946684800
	latest   = 253402300800
)

// bounds puts the ends of time in place of those not given.
func bounds(from, to *int64) (begin, end int64) {
	begin, end = earliest, latest
	if from != nil {
		begin = *from
	}
	if to != nil {
		end = *to
	} else {
		end = max(end, begin)
	}
	if from == nil {
		begin = min(begin, end)
	}
	return begin, end
}

// counts holds a number per type and bucket.
type counts struct {
	buckets int
	byType  map[string][]int64
}

func (c *counts) of(eventType string) []int64 {
	list := c.byType[eventType]
	if list == nil {
		list = make([]int64, c.buckets)
	}
	return list
}

func (c *counts) add(eventType string, bucket int, n int64) {
	list := c.byType[eventType]
	if list == nil {
		list = make([]int64, c.buckets)
		c.byType[eventType] = list
	}
	list[bucket] += n
}

// countBuckets counts the events of types (nil: all) in buckets: whole minutes from the
// counts, and what an edge cuts off from the events.
func (s *Service) countBuckets(ctx context.Context, types []string, edges []int64, plan *Plan) (*counts, error) {
	*plan = FromCounts
	found := &counts{buckets: len(edges) - 1, byType: map[string][]int64{}}
	whole := make([]int64, 0, len(edges))
	for i, edge := range edges {
		switch {
		case i == 0:
			whole = append(whole, edge+mod(-edge, 60))
		case i == len(edges)-1:
			whole = append(whole, max(edge-mod(edge, 60), whole[0]))
		default:
			whole = append(whole, edge)
		}
	}
	if len(edges) < 2 || edges[0] >= edges[len(edges)-1] {
		return found, nil
	}
	first, last := whole[0], whole[len(whole)-1]
	if first < last {
		// An edge between two buckets is on a minute, but the first bucket may end before
		// its first whole minute does: then there is nothing in it.
		for i := range whole {
			whole[i] = min(max(whole[i], first), last)
		}
		if err := s.config.Counter.MinuteCounts(ctx, types, whole, found.add); err != nil {
			return nil, err
		}
	}
	begin, end := edges[0], edges[len(edges)-1]
	cuts := [][2]int64{{begin, min(first, end)}, {max(last, min(first, end)), end}}
	for _, cut := range cuts {
		if cut[0] >= cut[1] {
			continue
		}
		*plan = FromCountsAndRows
		if err := s.countRows(ctx, types, cut[0], cut[1], edges, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// countRows counts events one by one, in less than a minute.
func (s *Service) countRows(ctx context.Context, types []string, from, to int64, edges []int64, found *counts) error {
	bucket := 0
	for bucket+2 < len(edges) && edges[bucket+1] <= from {
		bucket++
	}
	table, err := s.config.Reader.Aggregate(ctx, &Aggregation{
		Slice:  Slice{Types: types, From: from, To: to},
		Metric: Count, GroupBy: []Field{{Kind: TypeField}}, Order: KeyAsc, Limit: 1 << 30,
	})
	if err != nil {
		return err
	}
	for _, group := range table.Groups {
		n, err := strconv.ParseInt(string(group.Number), 10, 64)
		if err != nil {
			return fmt.Errorf("a count is %q", group.Number)
		}
		found.add(group.Key[0].Text, bucket, n)
	}
	return nil
}

// Series is the counts of a type over time.
type Series struct {
	Interval Interval
	Zone     *time.Location
	Buckets  *Buckets
	Counts   []int64
	Now      int64 // the instant of the question, for Buckets.Partial

	Previous       *Buckets // the period before; nil: not asked for
	PreviousCounts []int64
}

// defaultBuckets is how many buckets a series has without from.
const defaultBuckets = 30

// CountSeries counts the events of a type over time.
func (s *Service) CountSeries(ctx context.Context, eventType string, interval Interval, zoneName string, from, to *int64, compare bool) (series *Series, plan Plan, err error) {
	var c checker
	if interval == "" {
		interval = Day
	}
	zone := c.zone("#query/tz", zoneName)
	now := s.config.Clock().Unix()
	var begin, end int64
	if to != nil {
		end = *to
	} else {
		_, end = bucketOf(now, interval, zone)
		if from != nil {
			end = max(end, *from)
		}
	}
	if from != nil {
		begin = *from
	} else {
		begin = end
		for range defaultBuckets {
			begin, _ = bucketOf(begin-1, interval, zone)
		}
		begin = max(begin, min(0, end))
	}
	c.period("#query/to", begin, end)
	series = &Series{Interval: interval, Zone: zone, Now: now}
	series.Buckets = c.buckets("#query/interval", begin, end, interval, zone)
	if err := c.err(); err != nil {
		return nil, "", err
	}
	plan, err = s.answer(ctx, "series", func(ctx context.Context, plan *Plan) error {
		found, err := s.countBuckets(ctx, []string{eventType}, series.Buckets.Edges(), plan)
		if err != nil {
			return err
		}
		series.Counts = found.of(eventType)
		if !compare {
			return nil
		}
		series.Previous = series.Buckets.previous(interval, zone)
		var before Plan
		if found, err = s.countBuckets(ctx, []string{eventType}, series.Previous.Edges(), &before); err != nil {
			return err
		}
		series.PreviousCounts = found.of(eventType)
		if before == FromCountsAndRows {
			*plan = before
		}
		return nil
	})
	return series, plan, err
}

// Answer is the answer to a Question.
type Answer struct {
	Table
	Zone    *time.Location
	Buckets *Buckets // nil: no interval
	Now     int64
}

// Ask answers a question.
func (s *Service) Ask(ctx context.Context, q *Question) (answer *Answer, plan Plan, err error) {
	a, buckets, err := q.aggregation()
	if err != nil {
		return nil, "", err
	}
	answer = &Answer{Buckets: buckets, Now: s.config.Clock().Unix(), Zone: time.UTC}
	if q.Zone != "" {
		if answer.Zone, err = LoadZone(q.Zone); err != nil {
			return nil, "", err
		}
	}
	plan, err = s.answer(ctx, "query", func(ctx context.Context, plan *Plan) error {
		table, err := s.aggregate(ctx, a, plan)
		if err == nil {
			answer.Table = *table
		}
		return err
	})
	return answer, plan, err
}

func (s *Service) aggregate(ctx context.Context, a *Aggregation, plan *Plan) (*Table, error) {
	if a.countable() {
		return s.aggregateCounts(ctx, a, plan)
	}
	*plan = FromRows
	leave, err := s.turn(ctx, s.turns)
	if err != nil {
		return nil, err
	}
	defer leave()
	if _, err := s.affordable(ctx, &a.Slice); err != nil {
		return nil, err
	}
	return s.config.Reader.Aggregate(ctx, a)
}

// countable says whether the counts are enough.
func (a *Aggregation) countable() bool {
	if a.Metric != Count || len(a.Slice.Condition.Filters) > 0 || a.Slice.UserID != 0 {
		return false
	}
	for _, f := range a.GroupBy {
		if f.Kind != TypeField {
			return false
		}
	}
	return true
}

// aggregateCounts answers a question about types and times alone.
func (s *Service) aggregateCounts(ctx context.Context, a *Aggregation, plan *Plan) (*Table, error) {
	edges := a.Edges
	if edges == nil {
		edges = []int64{a.Slice.From, a.Slice.To}
	}
	types := a.Slice.Types
	if len(types) == 0 {
		types = nil
	}
	found, err := s.countBuckets(ctx, types, edges, plan)
	if err != nil {
		return nil, err
	}
	ranking := NewAggregator(a)
	for eventType, list := range found.byType {
		ranking.addCounts(eventType, list)
	}
	return ranking.Table(), nil
}

// addCounts takes in the counts of a type, a bucket each.
func (g *Aggregator) addCounts(eventType string, list []int64) {
	var key [MaxGroupBy]Value
	for i := range g.of.GroupBy {
		key[i] = StringValue(eventType)
	}
	group := g.groups[key]
	for i, n := range list {
		if n == 0 {
			continue
		}
		if group == nil {
			group = &accumulator{key: key, cells: map[int32]*cell{}}
			g.groups[key] = group
		}
		group.total.n += n
		if group.cells[int32(i)] == nil {
			group.cells[int32(i)] = &cell{}
		}
		group.cells[int32(i)].n += n
	}
}

// listing checks a question for events.
func (q *ListQuestion) listing() (*Listing, error) {
	var c checker
	begin, end := bounds(q.From, q.To)
	c.period("#query/to", begin, end)
	l := &Listing{
		Slice: Slice{UserID: q.UserID, From: begin, To: end, Condition: c.condition("#query/filters", q.Filters, q.Any)},
		Limit: q.Limit,
	}
	if q.Type != "" {
		l.Slice.Types = []string{q.Type}
	}
	if l.Limit == 0 {
		l.Limit = DefaultLimit
	}
	if q.Cursor != "" {
		key, ok := ParseCursor(q.Cursor)
		if !ok {
			c.fail("#query/cursor", "format", "must be the next_cursor of a page, or the timestamp, event_id and user_id of an event, joined by _")
		}
		l.After = &key
	}
	return l, c.err()
}

// FormatCursor writes a place in the order of events: time, id and user.
func FormatCursor(k event.Key) string {
	return strconv.FormatInt(k.OccurredAt, 10) + "_" + k.ID.String() + "_" + strconv.FormatInt(k.UserID, 10)
}

// ParseCursor reads what FormatCursor writes.
func ParseCursor(text string) (k event.Key, ok bool) {
	occurredAt, rest, _ := strings.Cut(text, "_")
	id, user, _ := strings.Cut(rest, "_")
	var errs [3]error
	k.OccurredAt, errs[0] = strconv.ParseInt(occurredAt, 10, 64)
	k.UserID, errs[1] = strconv.ParseInt(user, 10, 64)
	k.ID, errs[2] = event.ParseID(id)
	return k, errors.Join(errs[:]...) == nil
}

// EventsPage is a part of a list of events.
type EventsPage struct {
	Events []event.Event
	Next   string // cursor; empty on the last page
}

// ListEvents lists events, the newest first.
func (s *Service) ListEvents(ctx context.Context, q *ListQuestion) (page EventsPage, plan Plan, err error) {
	l, err := q.listing()
	if err != nil {
		return page, "", err
	}
	limit := l.Limit
	l.Limit++ // one more tells whether there is another page
	plan, err = s.answer(ctx, "list", func(ctx context.Context, plan *Plan) error {
		*plan = FromRows
		leave, err := s.turn(ctx, s.turns)
		if err != nil {
			return err
		}
		defer leave()
		return s.config.Reader.List(ctx, l, func(e *event.Event) error {
			if len(page.Events) == limit {
				page.Next = FormatCursor(page.Events[limit-1].Key())
				return nil
			}
			page.Events = append(page.Events, *e)
			return nil
		})
	})
	return page, plan, err
}

// exportPage is how many events an export reads at once: enough that asking costs
// little, few enough that nothing is held for long.
const exportPage = 10_000

// errFull ends a page early.
var errFull = errors.New("the page is full")

// ExportEvents hands over all events that fit, the oldest first, in pages: encode gets each
// event of a page, valid until the next, and says when the page has become large
// enough; then flush is called, at least once. A page may take no longer than Timeout, not
// counting flush, which waits for the client.
func (s *Service) ExportEvents(ctx context.Context, q *ListQuestion, encode func(*event.Event) (full bool), flush func() error) error {
	l, err := q.listing()
	if err != nil {
		return err
	}
	l.Oldest, l.Limit = true, exportPage
	leave, err := s.turn(ctx, s.exports)
	if err != nil {
		return err
	}
	defer leave()
	for {
		n := 0
		var last event.Key
		_, err := s.answer(ctx, "export", func(ctx context.Context, plan *Plan) error {
			*plan = FromRows
			err := s.config.Reader.List(ctx, l, func(e *event.Event) error {
				n++
				last = e.Key()
				if encode(e) {
					return errFull
				}
				return nil
			})
			if errors.Is(err, errFull) {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
		if err := flush(); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		l.After = &last
	}
}
