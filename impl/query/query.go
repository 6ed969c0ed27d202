// Package query answers questions about events: how many, when, of whom, by which
// property, in which order, and who came back. It checks a question, chooses the way
// to its answer, and puts the answer together; the rows are read by a store.
//
// Every answer is exact, and the same from every store. What that takes is defined
// here: which JSON values are equal and in which order they come (Value), where days
// begin in a time zone (Buckets), and what a percentile is (nearest rank).
package query

import (
	"errors"

	"highload.example/analytics/impl/event"
)

// ErrTooExpensive says that a question would take more time, memory or events
// than one may. Its text says which, and is meant for who asked.
var ErrTooExpensive = errors.New("too expensive")

// Metric is what is worked out for a group.
type Metric string

// The metrics.
const (
	Count       Metric = "count"
	UniqueUsers Metric = "unique_users"
	Sum         Metric = "sum"
	Avg         Metric = "avg"
	Min         Metric = "min"
	Max         Metric = "max"
	P50         Metric = "p50"
	P90         Metric = "p90"
	P95         Metric = "p95"
	P99         Metric = "p99"
)

// Numeric says whether the metric is worked out from a number in each event.
func (m Metric) Numeric() bool { return m != Count && m != UniqueUsers }

// Percentile returns the metric's percentage, or 0 when it is no percentile. The p-th
// percentile of n numbers is the one at place ceil(n*p/100) in their order, from 1
// (nearest rank).
func (m Metric) Percentile() int {
	switch m {
	case P50:
		return 50
	case P90:
		return 90
	case P95:
		return 95
	case P99:
		return 99
	default:
		return 0
	}
}

// Order is the order of groups.
type Order string

// The orders. Groups of equal number are in the order of their keys, and groups
// without a number come last.
const (
	ValueDesc Order = "value_desc"
	ValueAsc  Order = "value_asc"
	KeyAsc    Order = "key_asc"
	KeyDesc   Order = "key_desc"
)

// Operator is how a filter compares.
type Operator string

// The operators.
const (
	Eq         Operator = "eq"
	Neq        Operator = "neq"
	In         Operator = "in"
	NotIn      Operator = "not_in"
	Exists     Operator = "exists"
	Gt         Operator = "gt"
	Gte        Operator = "gte"
	Lt         Operator = "lt"
	Lte        Operator = "lte"
	Contains   Operator = "contains"
	StartsWith Operator = "starts_with"
)

// Filter is a condition on an event. Check makes sure that the values fit the operator.
type Filter struct {
	Field  Field
	Op     Operator
	Values []Value // one, but for In and NotIn; for Exists True or False
}

// Condition is filters of which all have to fit, or any. Without filters every event fits.
type Condition struct {
	Filters []Filter
	Any     bool
}

// Slice is the events that a question is about.
type Slice struct {
	Types     []string // empty: all
	UserID    int64    // 0: all
	From, To  int64    // Unix seconds; To is not included
	Condition Condition
}

// Aggregation asks for one number per group, and per bucket of time.
type Aggregation struct {
	Slice   Slice
	Metric  Metric
	Value   Field   // the number, for numeric metrics
	GroupBy []Field // up to MaxGroupBy
	Edges   []int64 // the bounds of the buckets, from Slice.From to Slice.To; nil: none
	Order   Order
	Limit   int  // groups listed
	Other   bool // whether the others are put together
}

// Table is the answer to an Aggregation.
type Table struct {
	Groups      []Group // in order, at most Limit
	Other       *Group  // all others, without a key; nil: none, or not asked for
	OtherGroups int64   // how many they are
}

// Group is a group and its numbers.
type Group struct {
	Key    []Value
	Number Number
	Cells  []Number // one per bucket
}

// Step is a kind of event.
type Step struct {
	Type      string
	Condition Condition
}

// StepScan asks for the events that fit any of the steps, in the order of users, and of
// each user's in that of time and id.
type StepScan struct {
	Steps    []Step
	From, To int64
	GroupBy  []Field // worked out for events that fit the first step
	Events   int64   // about so many have to be read, as was counted before
}

// StepEvent is an event of a StepScan. What it points to is valid until the next.
type StepEvent struct {
	UserID     int64
	OccurredAt int64
	Steps      uint16  // bit i: fits step i
	Key        []Value // of GroupBy, if it fits the first step
}

// Listing asks for events in the order of time, id and user.
type Listing struct {
	Slice Slice
	After *event.Key // begin behind this one; nil: at the beginning
	Limit int        // at most so many

	// Oldest asks for a page of an export: the oldest first. The store makes the page as
	// long as suits it, with no more than twice as many events and about PageBytes of
	// payload; only an empty one says that there are no more.
	Oldest bool
	Pace   int64 // how many seconds the next page should span, for the store that reads and sets it
}

// PageBytes is about how many bytes of payload a page of an export has at most.
const PageBytes = 2 << 20

// TypeCount is a type and its number of events.
type TypeCount struct {
	Type  string
	Count int64
}

// Plan is the way to an answer.
type Plan string

// The plans.
const (
	FromTotals        Plan = "totals"      // the totals of types, live or from the record
	FromCounts        Plan = "counts"      // the counts of minutes
	FromCountsAndRows Plan = "counts+rows" // these, and events at the edges that cut a minute
	FromRows          Plan = "rows"        // events
)

// Bounds on a question's size.
const (
	MaxBuckets = 2000
	MaxGroupBy = 3
	MaxSteps   = 10

	DefaultLimit   = 100
	DefaultPeriods = 12
)
