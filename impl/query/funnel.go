package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// FunnelStep is the users who took a step.
type FunnelStep struct {
	Users  int64
	Median *int64 // seconds since the step before, nearest rank; nil for the first, and for nobody
}

// FunnelGroup is the funnel of one group.
type FunnelGroup struct {
	Key   []Value
	Steps []FunnelStep
}

// FunnelAnswer is the answer to a FunnelQuestion.
type FunnelAnswer struct {
	Steps  []FunnelStep
	Groups []FunnelGroup // those with the most users at the first step, at most Limit
}

// Funnel answers how far users go.
//
// A way is a sequence of a user's events, one for each step from the first on, each after the
// one before in the order of time and id, the last within the window of the first.
// In a strict one no event between two of it fits any step. For each beginning, each
// further step is the earliest event that makes a way; of a user's ways the
// longest counts, and of those the one that begins first.
func (s *Service) Funnel(ctx context.Context, q *FunnelQuestion) (answer *FunnelAnswer, plan Plan, err error) {
	var c checker
	c.period("/to", q.From, q.To)
	scan := &StepScan{From: q.From, To: q.To, GroupBy: c.fields("/group_by", q.GroupBy)}
	for i, step := range q.Steps {
		scan.Steps = append(scan.Steps, c.step(fmt.Sprintf("/steps/%d", i), step))
	}
	if err := c.err(); err != nil {
		return nil, "", err
	}
	plan, err = s.answer(ctx, "funnel", func(ctx context.Context, plan *Plan) error {
		*plan = FromRows
		f := newFunnel(q, len(scan.GroupBy))
		err := s.scan(ctx, scan, f.add)
		if err == nil {
			answer = f.answer()
		}
		return err
	})
	return answer, plan, err
}

// scan reads the events of steps, if they are not too many.
func (s *Service) scan(ctx context.Context, scan *StepScan, yield func(*StepEvent) error) error {
	leave, err := s.turn(ctx, s.turns)
	if err != nil {
		return err
	}
	defer leave()
	slice := &Slice{From: scan.From, To: scan.To}
	for _, step := range scan.Steps {
		if !slices.Contains(slice.Types, step.Type) {
			slice.Types = append(slice.Types, step.Type)
		}
	}
	if scan.Events, err = s.affordable(ctx, slice); err != nil {
		return err
	}
	return s.config.Reader.ScanSteps(ctx, scan, yield)
}

// maxUserEvents bounds the events of one user that a funnel holds.
const maxUserEvents = 1_000_000

// funnel follows one user at a time.
type funnel struct {
	q     *FunnelQuestion
	width int // of keys

	user   int64
	events []funnelEvent
	keys   [][MaxGroupBy]Value // of the events that fit the first step

	all    *funnelCount
	groups map[[MaxGroupBy]Value]*funnelCount
}

type funnelEvent struct {
	at    int64
	steps uint16
	key   int32 // in keys, if it fits the first step
}

// funnelCount is a group's users per step, and the seconds that each step took them.
type funnelCount struct {
	key   [MaxGroupBy]Value
	users []int64
	took  [][]int64
}

func newFunnel(q *FunnelQuestion, width int) *funnel {
	f := &funnel{q: q, width: width, groups: map[[MaxGroupBy]Value]*funnelCount{}}
	f.all = f.newCount([MaxGroupBy]Value{})
	return f
}

func (f *funnel) newCount(key [MaxGroupBy]Value) *funnelCount {
	return &funnelCount{key: key, users: make([]int64, len(f.q.Steps)), took: make([][]int64, len(f.q.Steps))}
}

func (f *funnel) add(e *StepEvent) error {
	if e.UserID != f.user {
		f.finish()
		f.user = e.UserID
	}
	if len(f.events) == maxUserEvents {
		return fmt.Errorf("%w: a user has more than %d events that fit; ask about a shorter range", ErrTooExpensive, maxUserEvents)
	}
	next := funnelEvent{at: e.OccurredAt, steps: e.Steps}
	if e.Steps&1 != 0 && f.width > 0 {
		var key [MaxGroupBy]Value
		copy(key[:], e.Key)
		next.key = int32(len(f.keys))
		f.keys = append(f.keys, key)
	}
	f.events = append(f.events, next)
	return nil
}

// finish finds the way of the user whose events have been read, and counts it.
func (f *funnel) finish() {
	var best, way []int32
	for i := range f.events {
		if f.events[i].steps&1 == 0 {
			continue
		}
		if way = f.way(way[:0], i); len(way) > len(best) {
			best, way = way, best
		}
		if len(best) == len(f.q.Steps) {
			break
		}
	}
	if len(best) > 0 {
		f.count(f.all, best)
		if f.width > 0 {
			key := f.keys[f.events[best[0]].key]
			group := f.groups[key]
			if group == nil {
				group = f.newCount(key)
				f.groups[key] = group
			}
			f.count(group, best)
		}
	}
	f.events, f.keys = f.events[:0], f.keys[:0]
}

// way appends the events of the way that begins with event i.
func (f *funnel) way(way []int32, i int) []int32 {
	way = append(way, int32(i))
	latest := f.events[i].at + f.q.Window
	for j := i + 1; j < len(f.events) && len(way) < len(f.q.Steps) && f.events[j].at <= latest; j++ {
		switch {
		case f.events[j].steps&(1<<len(way)) != 0:
			way = append(way, int32(j))
		case f.q.Strict:
			return way
		}
	}
	return way
}

func (f *funnel) count(c *funnelCount, way []int32) {
	for step, i := range way {
		c.users[step]++
		if step > 0 {
			c.took[step] = append(c.took[step], f.events[i].at-f.events[way[step-1]].at)
		}
	}
}

func (f *funnel) answer() *FunnelAnswer {
	f.finish()
	answer := &FunnelAnswer{Steps: f.all.steps()}
	groups := make([]*funnelCount, 0, len(f.groups))
	for _, group := range f.groups {
		groups = append(groups, group)
	}
	slices.SortFunc(groups, func(a, b *funnelCount) int {
		return cmp.Or(cmp.Compare(b.users[0], a.users[0]), compareKeys(a.key[:f.width], b.key[:f.width]))
	})
	limit := f.q.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	for _, group := range groups[:min(limit, len(groups))] {
		answer.Groups = append(answer.Groups, FunnelGroup{Key: slices.Clone(group.key[:f.width]), Steps: group.steps()})
	}
	return answer
}

func (c *funnelCount) steps() []FunnelStep {
	steps := make([]FunnelStep, len(c.users))
	for i := range steps {
		steps[i].Users = c.users[i]
		if took := c.took[i]; len(took) > 0 {
			slices.Sort(took)
			steps[i].Median = &took[(len(took)+1)/2-1]
		}
	}
	return steps
}

// RetentionAnswer is the answer to a RetentionQuestion.
type RetentionAnswer struct {
	Zone    *time.Location
	Cohorts []Cohort // one per bucket of the range
}

// Cohort is the users whose first event is in one bucket.
type Cohort struct {
	Start    int64
	Users    int64
	Returned []int64 // users who came back in the bucket itself, the next, and so on
}

// Retention answers who comes back.
func (s *Service) Retention(ctx context.Context, q *RetentionQuestion) (answer *RetentionAnswer, plan Plan, err error) {
	var c checker
	c.period("/to", q.From, q.To)
	scan := &StepScan{From: q.From, To: q.To, Steps: []Step{c.step("/first", q.First), c.step("/returning", q.Returning)}}
	zone := c.zone("/tz", q.Zone)
	buckets := c.buckets("/interval", q.From, q.To, q.Interval, zone)
	if err := c.err(); err != nil {
		return nil, "", err
	}
	r := newRetention(q, buckets)
	plan, err = s.answer(ctx, "retention", func(ctx context.Context, plan *Plan) error {
		*plan = FromRows
		return s.scan(ctx, scan, r.add)
	})
	if err != nil {
		return nil, plan, err
	}
	return &RetentionAnswer{Zone: zone, Cohorts: r.cohorts}, plan, nil
}

// retention follows one user at a time.
type retention struct {
	buckets *Buckets
	cohorts []Cohort

	user   int64
	cohort int // of the user; -1: none yet
	seen   int // the last bucket that the user was counted in
}

func newRetention(q *RetentionQuestion, buckets *Buckets) *retention {
	periods := q.Periods
	if periods == 0 {
		periods = DefaultPeriods
	}
	r := &retention{buckets: buckets, cohorts: make([]Cohort, len(buckets.Starts)), cohort: -1}
	for i := range r.cohorts {
		r.cohorts[i] = Cohort{Start: buckets.Starts[i], Returned: make([]int64, min(periods, len(r.cohorts)-i))}
	}
	return r
}

func (r *retention) add(e *StepEvent) error {
	if e.UserID != r.user {
		r.user, r.cohort = e.UserID, -1
	}
	if r.cohort < 0 {
		if e.Steps&1 == 0 {
			return nil
		}
		r.cohort = r.bucket(e.OccurredAt)
		r.seen = r.cohort - 1
		r.cohorts[r.cohort].Users++
		return nil
	}
	if e.Steps&2 == 0 {
		return nil
	}
	bucket := r.bucket(e.OccurredAt)
	if bucket == r.seen {
		return nil
	}
	r.seen = bucket
	if period := bucket - r.cohort; period < len(r.cohorts[r.cohort].Returned) {
		r.cohorts[r.cohort].Returned[period]++
	}
	return nil
}

func (r *retention) bucket(at int64) int {
	i, found := slices.BinarySearch(r.buckets.Starts, at)
	if !found {
		i--
	}
	return i
}
