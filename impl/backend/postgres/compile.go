package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"highload.example/analytics/impl/query"
)

// statement is SQL in the making. Whatever comes from a question gets into arguments, never
// into the text: the text is put together from the constants in this file and the
// numbers of arguments, columns and steps.
type statement struct {
	text strings.Builder
	args []any
}

// arg adds an argument and returns its place in the text.
func (s *statement) arg(value any) string {
	s.args = append(s.args, value)
	return "$" + strconv.Itoa(len(s.args))
}

func (s *statement) write(parts ...string) {
	for _, part := range parts {
		s.text.WriteString(part)
	}
}

// jsonbOf returns an expression of a payload's value: NULL where there is none.
//
// The operator -> 0 takes a string or a number for an array of one, and #> takes a
// number for a name, too. What leads through an array is a path in strict mode, which knows them
// apart; where there is nothing it fails, in silence, and the value is NULL.
func (s *statement) jsonbOf(path []query.Segment) string {
	if !slices.ContainsFunc(path, func(p query.Segment) bool { return p.IsIndex }) {
		names := make([]string, len(path))
		for i, segment := range path {
			names[i] = s.arg(segment.Name) + "::text"
		}
		return "(e.payload -> " + strings.Join(names, " -> ") + ")"
	}
	jsonpath := []byte("strict $")
	for _, segment := range path {
		if segment.IsIndex {
			jsonpath = fmt.Appendf(jsonpath, "[%d]", segment.Index)
		} else {
			jsonpath = query.StringValue(segment.Name).AppendJSON(append(jsonpath, '.'))
		}
	}
	return "jsonb_path_query_first(e.payload, " + s.arg(string(jsonpath)) + "::text::jsonpath, '{}', true)"
}

// valueOf returns an expression of a field as jsonb, never NULL.
func (s *statement) valueOf(f query.Field) string {
	switch f.Kind {
	case query.TypeField:
		return "to_jsonb(e.event_type)"
	case query.UserField:
		return "to_jsonb(e.user_id)"
	default:
		return "coalesce(" + s.jsonbOf(f.Path) + ", 'null')"
	}
}

// jsonText is a value as an argument of type jsonb.
func jsonText(v query.Value) string { return string(v.AppendJSON(nil)) }

// predicate returns a boolean expression that is true of events that fit.
func (s *statement) predicate(f query.Filter) string {
	switch f.Op {
	case query.Eq, query.In:
		return s.oneOf(f)
	case query.Neq, query.NotIn:
		return "NOT " + s.oneOf(f)
	case query.Exists:
		operator := " <> "
		if f.Values[0].Kind == query.KindFalse {
			operator = " = "
		}
		return "(" + s.valueOf(f.Field) + operator + "'null')"
	case query.Contains:
		return s.contains(f)
	default:
		return s.compared(f)
	}
}

// compared compares with a number or a string. The field is of the same type, or doesn't fit.
func (s *statement) compared(f query.Filter) string {
	v := f.Values[0]
	if v.Kind == query.KindNumber {
		field := s.valueOf(f.Field)
		return "(jsonb_typeof(" + field + ") = 'number' AND " + field + operators[f.Op] + s.arg(jsonText(v)) + "::jsonb)"
	}
	field := s.valueOf(f.Field)
	if f.Op == query.StartsWith {
		return "(jsonb_typeof(" + field + ") = 'string' AND starts_with(" + field + " #>> '{}', " + s.arg(v.Text) + "::text))"
	}
	return "(jsonb_typeof(" + field + ") = 'string' AND (" + field + " #>> '{}') COLLATE \"C\"" + operators[f.Op] + s.arg(v.Text) + "::text)"
}

var operators = map[query.Operator]string{query.Gt: " > ", query.Gte: " >= ", query.Lt: " < ", query.Lte: " <= "}

// oneOf compares with values. Columns are compared as what they are, so that an index
// may help.
func (s *statement) oneOf(f query.Filter) string {
	switch f.Field.Kind {
	case query.TypeField:
		texts := []string{}
		for _, v := range f.Values {
			if v.Kind == query.KindString {
				texts = append(texts, v.Text)
			}
		}
		return "(e.event_type = ANY(" + s.arg(texts) + "::text[]))"
	case query.UserField:
		users := []int64{}
		for _, v := range f.Values {
			if n, err := strconv.ParseInt(v.Text, 10, 64); err == nil && v.Kind == query.KindNumber {
				users = append(users, n)
			}
		}
		return "(e.user_id = ANY(" + s.arg(users) + "::bigint[]))"
	default:
	}
	if len(f.Values) == 1 {
		return "(" + s.valueOf(f.Field) + " = " + s.arg(jsonText(f.Values[0])) + "::jsonb)"
	}
	texts := make([]string, len(f.Values))
	for i, v := range f.Values {
		texts[i] = jsonText(v)
	}
	return "(" + s.valueOf(f.Field) + " = ANY(" + s.arg(texts) + "::jsonb[]))"
}

func (s *statement) contains(f query.Filter) string {
	v := f.Values[0]
	field := s.valueOf(f.Field)
	text := "(jsonb_typeof(" + field + ") = 'array' AND " + field + " @> " + s.arg(jsonText(v)) + "::jsonb"
	if v.Kind == query.KindString {
		text += " OR jsonb_typeof(" + field + ") = 'string' AND strpos(" + field + " #>> '{}', " + s.arg(v.Text) + "::text) > 0"
	}
	return text + ")"
}

// condition returns a boolean expression.
func (s *statement) condition(c query.Condition) string {
	if len(c.Filters) == 0 {
		return "true"
	}
	predicates := make([]string, len(c.Filters))
	for i, f := range c.Filters {
		predicates[i] = s.predicate(f)
	}
	if c.Any {
		return "(" + strings.Join(predicates, " OR ") + ")"
	}
	return "(" + strings.Join(predicates, " AND ") + ")"
}

// from writes FROM and WHERE of a slice.
func (s *statement) from(slice *query.Slice) {
	s.write(" FROM events e WHERE ", s.period(slice.From, slice.To))
	switch len(slice.Types) {
	case 0:
	case 1:
		s.write(" AND e.event_type = ", s.arg(slice.Types[0]), "::text")
	default:
		s.write(" AND e.event_type = ANY(", s.arg(slice.Types), "::text[])")
	}
	if slice.UserID != 0 {
		s.write(" AND e.user_id = ", s.arg(slice.UserID), "::bigint")
	}
	if len(slice.Condition.Filters) > 0 {
		s.write(" AND ", s.condition(slice.Condition))
	}
}

func (s *statement) period(from, to int64) string {
	return "e.occurred_at >= " + s.arg(timestamptz(from)) + "::timestamptz AND e.occurred_at < " + s.arg(timestamptz(to)) + "::timestamptz"
}

// groupNames are the columns of keys.
var groupNames = [query.MaxGroupBy]string{"g1", "g2", "g3"}

// groupColumn returns the expression of a key's column: a type's text, a user's number, or
// the text of a value that is the same for equal values. Such texts are sorted and hashed faster than
// jsonb: users per group and day took 400 ms by jsonb, 320 ms by text.
func (s *statement) groupColumn(f query.Field) string {
	switch f.Kind {
	case query.TypeField:
		return "e.event_type"
	case query.UserField:
		return "e.user_id"
	default:
		v := s.jsonbOf(f.Path)
		// Most values are strings: they are asked after first. What isn't there has no type.
		return "(CASE jsonb_typeof(" + v + ") WHEN 'string' THEN " + v + "::text WHEN 'number' THEN trim_scale(" + v + "::numeric)::text" +
			" WHEN 'array' THEN canonical_json(" + v + ") WHEN 'object' THEN canonical_json(" + v + ") ELSE coalesce(" + v + "::text, 'null') END) COLLATE \"C\""
	}
}

// keyOrder returns the ORDER BY of keys, the order of query.Value.
func keyOrder(fields []query.Field, direction string) string {
	var b strings.Builder
	for i, f := range fields {
		g := groupNames[i]
		switch f.Kind {
		case query.TypeField, query.UserField:
			fmt.Fprintf(&b, ", %s%s", g, direction)
		default:
			fmt.Fprintf(&b, `, CASE jsonb_typeof(%[1]s::jsonb) WHEN 'null' THEN 0 WHEN 'boolean' THEN CASE WHEN %[1]s = 'true' THEN 2 ELSE 1 END`+
				` WHEN 'number' THEN 3 WHEN 'string' THEN 4 WHEN 'array' THEN 5 ELSE 6 END%[2]s`+
				`, CASE jsonb_typeof(%[1]s::jsonb) WHEN 'number' THEN %[1]s::numeric END%[2]s`+
				`, (CASE jsonb_typeof(%[1]s::jsonb) WHEN 'string' THEN %[1]s::jsonb #>> '{}' ELSE %[1]s END) COLLATE "C"%[2]s`,
				g, direction)
		}
	}
	return strings.TrimPrefix(b.String(), ", ")
}

// shape is how a metric is worked out.
type shape struct {
	columns string // what it needs of each event, or of the events of a bucket and group; %s is the number in an event
	grouped bool   // whether these are added up per bucket and group: groups and buckets are then put together from that
	number  string // the metric, of these columns
	count   string // the divisor of a mean, else NULL
}

// shapes are those of all metrics but percentiles.
var shapes = map[query.Metric]shape{
	query.Count:       {columns: ", count(*) AS n", grouped: true, number: "coalesce(sum(s.n), 0)::numeric", count: none},
	query.UniqueUsers: {columns: ", e.user_id AS n", number: "count(DISTINCT s.n)::numeric", count: none},
	query.Sum:         {columns: ", sum(%s) AS n", grouped: true, number: "sum(s.n)", count: none},
	query.Avg:         {columns: ", sum(%[1]s) AS n, count(%[1]s) AS c", grouped: true, number: "sum(s.n)", count: "coalesce(sum(s.c), 0)::bigint"},
	query.Min:         {columns: ", min(%s) AS n", grouped: true, number: "min(s.n)", count: none},
	query.Max:         {columns: ", max(%s) AS n", grouped: true, number: "max(s.n)", count: none},
}

const none = "NULL::bigint"

// percentileShape is that of percentiles. percentile_disc takes the number at place
// ceil(n * fraction), but a fraction like 0.95 is none in binary: a little less than it keeps
// the ceiling right where the product is a whole number, for any n below a thousand million.
func percentileShape(percent int) shape {
	return shape{
		columns: ", %s AS n",
		number:  fmt.Sprintf("percentile_disc(%.12f) WITHIN GROUP (ORDER BY s.n)", float64(percent)/100-1e-12),
		count:   none,
	}
}

// aggregate returns the statement of an aggregation. Its rows are: part (0 a group, 1 a
// group's bucket, 2 the others, 3 the others' bucket), place of the group from 1, bucket
// from 0, the key as text, number, count; in part 2 the place is how many they are.
//
// Users and percentiles can't be put together from buckets: GROUPING SETS work
// them out for both in one pass over the events. The others are worked out per bucket and group,
// and from there in a pass over few rows.
func aggregate(a *query.Aggregation) *statement {
	s := &statement{}
	shape, known := shapes[a.Metric]
	if !known {
		shape = percentileShape(a.Metric.Percentile())
	}
	keys := groupNames[:len(a.GroupBy)]
	bucketed := len(a.Edges) > 2

	// 1. The slice: the columns per bucket and group, or per event.
	s.write("WITH slice AS ")
	if !shape.grouped && !a.Other {
		s.write("NOT ")
	}
	s.write("MATERIALIZED (SELECT ")
	if bucketed {
		s.write("width_bucket(e.occurred_at, ", s.arg(timestamps(a.Edges[1:len(a.Edges)-1])), "::timestamptz[]) AS b")
	} else {
		s.write("0 AS b")
	}
	by := []string{"1"}
	for i, f := range a.GroupBy {
		s.write(", ", s.groupColumn(f), " AS ", keys[i])
		by = append(by, strconv.Itoa(i+2))
	}
	columns := shape.columns
	if a.Metric.Numeric() {
		value := s.valueOf(a.Value)
		columns = fmt.Sprintf(columns, "CASE jsonb_typeof("+value+") WHEN 'number' THEN "+value+"::numeric END")
	}
	s.write(columns)
	s.from(&a.Slice)
	if shape.grouped {
		s.write(" GROUP BY ", strings.Join(by, ", "))
	}

	// 2. The numbers of groups (whole is 1) and of their buckets (0).
	columnsOf := make([]string, len(keys))
	for i, key := range keys {
		columnsOf[i] = "s." + key
	}
	sets := "(" + strings.Join(columnsOf, ", ") + ")"
	if a.Edges != nil {
		sets += ", (" + strings.Join(append([]string{"s.b"}, columnsOf...), ", ") + ")"
	}
	s.write("), cells AS MATERIALIZED (SELECT ")
	for _, key := range keys {
		s.write("s.", key, ", ")
	}
	if a.Edges != nil {
		s.write("s.b, grouping(s.b) AS whole, ")
	} else {
		s.write("0 AS b, 1 AS whole, ")
	}
	s.write(shape.number, " AS number, ", shape.count, " AS count FROM slice s GROUP BY GROUPING SETS (", sets, ")")

	// 3. The groups in their order, and those that are listed.
	s.write("), ranked AS MATERIALIZED (SELECT c.*, row_number() OVER (ORDER BY ", order(a), ") AS place FROM cells c WHERE c.whole = 1)")
	limit := s.arg(int64(a.Limit)) + "::bigint"
	s.write(" SELECT 0 AS part, r.place, 0 AS b")
	for i := range groupNames {
		if i < len(keys) {
			s.write(", r.", keys[i], "::text")
		} else {
			s.write(", NULL::text")
		}
	}
	s.write(", r.number::text, r.count FROM ranked r WHERE r.place <= ", limit)

	// 4. Their buckets, and the others.
	same := []string{"true"}
	for _, key := range keys {
		same = append(same, "s."+key+" = r."+key)
	}
	join := " s JOIN ranked r ON " + strings.Join(same, " AND ")
	noKey := strings.Repeat(", NULL::text", len(groupNames)) + ", "
	if a.Edges != nil {
		s.write(" UNION ALL SELECT 1, r.place, s.b", noKey, "s.number::text, s.count FROM cells", join, " WHERE s.whole = 0 AND r.place <= ", limit)
	}
	if a.Other {
		others := noKey + "(" + shape.number + ")::text, " + shape.count + " FROM slice" + join + " WHERE r.place > " + limit
		s.write(" UNION ALL SELECT 2, count(DISTINCT r.place), 0", others, " HAVING count(*) > 0")
		if a.Edges != nil {
			s.write(" UNION ALL SELECT 3, 0, s.b", others, " GROUP BY 3")
		}
	}
	return s
}

// order returns the ORDER BY of groups. Means are compared with forty more digits than
// numeric would give them.
func order(a *query.Aggregation) string {
	number := "number"
	if a.Metric == query.Avg {
		number = "(number + 0::numeric(200, 60)) / nullif(count, 0)"
	}
	ascending := keyOrder(a.GroupBy, "")
	var terms []string
	switch a.Order {
	case query.KeyAsc:
		terms = []string{ascending}
	case query.KeyDesc:
		terms = []string{keyOrder(a.GroupBy, " DESC NULLS LAST")}
	case query.ValueAsc:
		terms = []string{number + " NULLS LAST", ascending}
	default:
		terms = []string{number + " DESC NULLS LAST", ascending}
	}
	if len(a.GroupBy) == 0 {
		return "number"
	}
	return strings.Join(terms, ", ")
}

// scanSteps returns the statement of a StepScan. Its rows are: user, time, the steps as
// bits, and either the key's columns as text, in the order of the scan, or the id, in none.
func scanSteps(scan *query.StepScan, ordered bool) *statement {
	s := &statement{}
	types := []string{}
	var bits, either []string
	var first string
	for i, step := range scan.Steps {
		types = append(types, step.Type)
		fits := "e.event_type = " + s.arg(step.Type) + "::text"
		if len(step.Condition.Filters) > 0 {
			fits += " AND " + s.condition(step.Condition)
		}
		bits = append(bits, fmt.Sprintf("CASE WHEN %s THEN %d ELSE 0 END", fits, 1<<i))
		if either = append(either, "("+fits+")"); i == 0 {
			first = fits
		}
	}
	s.write("SELECT e.user_id, e.occurred_at, ", strings.Join(bits, " + "))
	if !ordered {
		s.write(", e.event_id")
	}
	for _, f := range scan.GroupBy {
		s.write(", CASE WHEN ", first, " THEN (", s.groupColumn(f), ")::text END")
	}
	s.write(" FROM events e WHERE ", s.period(scan.From, scan.To), " AND e.event_type = ANY(", s.arg(types), "::text[])")
	filtered := false
	for _, step := range scan.Steps {
		filtered = filtered || len(step.Condition.Filters) > 0
	}
	if filtered {
		s.write(" AND (", strings.Join(either, " OR "), ")")
	}
	if ordered {
		s.write(" ORDER BY e.user_id, e.occurred_at, e.event_id")
	}
	return s
}
