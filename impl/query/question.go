package query

import (
	"fmt"
	"strings"
	"time"

	"highload.example/analytics/impl/event"
)

// The questions here are as the contract has them: read, but not understood. Empty
// texts and zeros stand for what wasn't given.

// RawFilter is a filter as it was given.
type RawFilter struct {
	Field string
	Op    Operator
	Value []byte // JSON; nil: none
}

// Question asks for numbers; see Aggregation.
type Question struct {
	Types        []string
	Metric       Metric
	Value        string
	From, To     int64
	Interval     Interval
	Zone         string
	GroupBy      []string
	Filters      []RawFilter
	Any          bool
	Order        Order
	Limit        int
	IncludeOther bool
}

// RawStep is a step as it was given.
type RawStep struct {
	Type    string
	Filters []RawFilter
	Any     bool
}

// FunnelQuestion asks how far users go.
type FunnelQuestion struct {
	Steps    []RawStep
	Window   int64 // seconds
	Strict   bool
	From, To int64
	GroupBy  []string
	Limit    int
}

// RetentionQuestion asks who comes back.
type RetentionQuestion struct {
	First, Returning RawStep
	Interval         Interval
	Zone             string
	From, To         int64
	Periods          int
}

// ListQuestion asks for events.
type ListQuestion struct {
	Type     string
	UserID   int64
	From, To *int64
	Filters  []RawFilter
	Any      bool
	Limit    int
	Cursor   string
}

// checker collects what is wrong with a question.
type checker struct{ violations []event.Violation }

func (c *checker) fail(pointer, code, format string, args ...any) {
	c.violations = append(c.violations, event.Violation{Pointer: pointer, Code: code, Detail: fmt.Sprintf(format, args...)})
}

func (c *checker) err() error {
	if len(c.violations) == 0 {
		return nil
	}
	return &event.InvalidError{Violations: c.violations}
}

func (c *checker) period(pointer string, from, to int64) {
	if to < from {
		c.fail(pointer, "empty_range", "must not be before the beginning of the range")
	}
}

func (c *checker) zone(pointer, name string) *time.Location {
	if name == "" {
		return time.UTC
	}
	zone, err := LoadZone(name)
	if err != nil {
		c.fail(pointer, "unknown_time_zone", "is not the name of a time zone, like Europe/Berlin or UTC")
		return time.UTC
	}
	return zone
}

func (c *checker) buckets(pointer string, from, to int64, interval Interval, zone *time.Location) *Buckets {
	if to < from {
		return &Buckets{From: from, To: from, End: from}
	}
	b, ok := MakeBuckets(from, to, interval, zone)
	if !ok {
		way := "take a shorter range"
		if fits := smallestThatFits(from, to, zone); fits != "" {
			way = "the smallest interval that fits is " + string(fits)
		}
		c.fail(pointer, "too_many_buckets", "cuts the range into more than %d buckets; %s", MaxBuckets, way)
		return &Buckets{From: from, To: from, End: from}
	}
	return b
}

func (c *checker) field(pointer, text string) Field {
	f, err := ParseField(text)
	if err != nil {
		c.fail(pointer, "pattern", "%s", err)
	}
	return f
}

func (c *checker) fields(pointer string, texts []string) []Field {
	fields := make([]Field, 0, len(texts))
	seen := map[string]bool{}
	for i, text := range texts {
		place := fmt.Sprintf("%s/%d", pointer, i)
		f := c.field(place, text)
		if name := f.String(); name != "" && seen[name] {
			c.fail(place, "duplicate_item", "is in the list already")
		} else {
			seen[name] = true
		}
		fields = append(fields, f)
	}
	return fields
}

func (c *checker) types(pointer string, types []string) {
	seen := map[string]bool{}
	for i, t := range types {
		if seen[t] {
			c.fail(fmt.Sprintf("%s/%d", pointer, i), "duplicate_item", "is in the list already")
		}
		seen[t] = true
	}
}

// maxListed bounds the values of one In or NotIn.
const maxListed = 100

func (c *checker) condition(pointer string, filters []RawFilter, either bool) Condition {
	condition := Condition{Any: either}
	for i, raw := range filters {
		place := fmt.Sprintf("%s/%d", pointer, i)
		f := Filter{Op: raw.Op, Field: c.field(place+"/field", raw.Field)}
		f.Values = c.operand(place+"/value", raw)
		condition.Filters = append(condition.Filters, f)
	}
	return condition
}

// operand checks that a filter's value fits its operator.
func (c *checker) operand(pointer string, raw RawFilter) []Value {
	text := raw.Value
	if len(text) > 0 {
		text = text[skipSpace(text, 0):]
	}
	if len(text) == 0 {
		if raw.Op == Exists {
			return []Value{{Kind: KindTrue}}
		}
		c.fail(pointer, "required", "is required by the operator %s", raw.Op)
		return nil
	}
	if raw.Op == In || raw.Op == NotIn {
		if text[0] != '[' {
			c.fail(pointer, "type", "must be an array with the operator %s", raw.Op)
			return nil
		}
		values := []Value{}
		eachItem(text, func(i int, item []byte) bool {
			if i == maxListed {
				c.fail(pointer, "max_items", "must have at most %d items", maxListed)
				return false
			}
			if v, ok := c.scalar(fmt.Sprintf("%s/%d", pointer, i), item); ok {
				values = append(values, v)
			}
			return true
		})
		return values
	}
	v, ok := c.scalar(pointer, text)
	if !ok {
		return nil
	}
	want := ""
	switch raw.Op {
	case Exists:
		if v.Kind != KindTrue && v.Kind != KindFalse {
			want = "true or false"
		}
	case Gt, Gte, Lt, Lte:
		if v.Kind != KindNumber && v.Kind != KindString {
			want = "a number or a string"
		}
	case StartsWith:
		if v.Kind != KindString {
			want = "a string"
		}
	default:
	}
	if want != "" {
		c.fail(pointer, "type", "must be %s with the operator %s", want, raw.Op)
	}
	return []Value{v}
}

// maxOperand bounds a string that is compared with, in bytes.
const maxOperand = 4096

func (c *checker) scalar(pointer string, text []byte) (Value, bool) {
	if text[0] == '[' || text[0] == '{' {
		c.fail(pointer, "type", "must be a string, a number, true, false or null")
		return Value{}, false
	}
	if len(text) > maxOperand {
		c.fail(pointer, "too_large", "must be at most %d bytes long", maxOperand)
		return Value{}, false
	}
	v, err := ParseValue(text)
	switch {
	case err != nil:
		c.fail(pointer, "number_out_of_range", "must be 0 or between 1e-308 and 1e308 in magnitude")
		return Value{}, false
	case strings.ContainsRune(v.Text, 0):
		c.fail(pointer, "nul_character", `contains the NUL character (\u0000), which no event has`)
		return Value{}, false
	}
	return v, true
}

func (c *checker) step(pointer string, raw RawStep) Step {
	return Step{Type: raw.Type, Condition: c.condition(pointer+"/filters", raw.Filters, raw.Any)}
}

// aggregation checks a question.
func (q *Question) aggregation() (*Aggregation, *Buckets, error) {
	var c checker
	c.period("/to", q.From, q.To)
	c.types("/event_types", q.Types)
	a := &Aggregation{
		Slice:   Slice{Types: q.Types, From: q.From, To: q.To, Condition: c.condition("/filters", q.Filters, q.Any)},
		Metric:  q.Metric,
		GroupBy: c.fields("/group_by", q.GroupBy),
		Order:   q.Order,
		Limit:   q.Limit,
		Other:   q.IncludeOther,
	}
	if a.Order == "" {
		a.Order = ValueDesc
	}
	if a.Limit == 0 {
		a.Limit = DefaultLimit
	}
	switch {
	case !q.Metric.Numeric():
		if q.Value != "" {
			c.fail("/value", "not_applicable", "has no meaning with the metric %s", q.Metric)
		}
	case q.Value == "":
		c.fail("/value", "required", "is required by the metric %s: the place of the number, like payload.price", q.Metric)
	default:
		if a.Value = c.field("/value", q.Value); a.Value.Kind == TypeField || a.Value.Kind == UserField {
			c.fail("/value", "not_applicable", "must be a place in the payload, like payload.price")
		}
	}
	if q.IncludeOther && len(q.GroupBy) == 0 {
		c.fail("/include_other", "not_applicable", "has no meaning without group_by")
	}
	zone := c.zone("/tz", q.Zone)
	var buckets *Buckets
	if q.Interval != "" {
		buckets = c.buckets("/interval", q.From, q.To, q.Interval, zone)
		a.Edges = buckets.Edges()
	}
	return a, buckets, c.err()
}
