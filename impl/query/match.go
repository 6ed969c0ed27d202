package query

import (
	"strings"
)

// Row is an event for Matcher and Aggregator. They keep nothing that it points to.
type Row struct {
	UserID     int64
	OccurredAt int64 // Unix seconds
	Type       string
	Payload    []byte // nil: none
}

// Of returns the value of a field.
func (f *Field) Of(r *Row) (Value, error) {
	switch f.Kind {
	case TypeField:
		return StringValue(r.Type), nil
	case UserField:
		return IntValue(r.UserID), nil
	default:
	}
	raw := lookup(r.Payload, f.Path)
	if raw == nil {
		return Value{}, nil
	}
	return ParseValue(raw)
}

// Match reports whether an event fits. The error says that a payload is damaged.
func (c *Condition) Match(r *Row) (bool, error) {
	for i := range c.Filters {
		fits, err := c.Filters[i].match(r)
		if err != nil {
			return false, err
		}
		if fits == c.Any {
			return c.Any, nil
		}
	}
	return !c.Any || len(c.Filters) == 0, nil
}

func (f *Filter) match(r *Row) (bool, error) {
	if f.Op == Contains && f.Field.Kind == PayloadField {
		if raw := lookup(r.Payload, f.Field.Path); len(raw) > 0 && raw[0] == '[' {
			return hasItem(raw, f.Values[0])
		}
	}
	v, err := f.Field.Of(r)
	if err != nil {
		return false, err
	}
	switch f.Op {
	case Eq, In:
		return oneOf(v, f.Values), nil
	case Neq, NotIn:
		return !oneOf(v, f.Values), nil
	case Exists:
		return (v.Kind != KindNull) == (f.Values[0].Kind == KindTrue), nil
	default:
		return compared(f.Op, v, f.Values[0]), nil
	}
}

// compared compares values of the same type; others don't fit.
func compared(op Operator, v, w Value) bool {
	switch {
	case v.Kind != w.Kind:
		return false
	case op == StartsWith:
		return strings.HasPrefix(v.Text, w.Text)
	case op == Contains:
		return v.Kind == KindString && strings.Contains(v.Text, w.Text)
	}
	switch op {
	case Gt:
		return v.Compare(w) > 0
	case Gte:
		return v.Compare(w) >= 0
	case Lt:
		return v.Compare(w) < 0
	default: // Lte
		return v.Compare(w) <= 0
	}
}

func oneOf(v Value, values []Value) bool {
	for _, w := range values {
		if v == w {
			return true
		}
	}
	return false
}

func hasItem(array []byte, w Value) (has bool, err error) {
	eachItem(array, func(_ int, item []byte) bool {
		var v Value
		v, err = ParseValue(item)
		has = v == w
		return !has && err == nil
	})
	return has, err
}
