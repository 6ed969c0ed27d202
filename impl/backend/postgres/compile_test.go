package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/query"
)

// vocabulary is every word that the compiler writes. Nothing else may stand in its SQL.
var vocabulary = strings.Fields(`
	SELECT DISTINCT FROM WHERE AND OR NOT AS WITH MATERIALIZED GROUP BY GROUPING SETS HAVING ORDER LIMIT JOIN ON UNION ALL ANY ARRAY
	CASE WHEN THEN ELSE END NULL NULLS LAST DESC COLLATE WITHIN OVER true
	e events s slice c cells r ranked t event_totals a b g1 g2 g3 n c number count whole place part
	user_id occurred_at event_id event_type payload
	coalesce sum min max grouping row_number count width_bucket percentile_disc nullif
	jsonb_typeof to_jsonb trim_scale starts_with strpos canonical_json jsonb_path_query_first
	text integer bigint numeric jsonb jsonpath uuid timestamptz`)

var literals = []string{`'null'`, `'boolean'`, `'true'`, `'number'`, `'string'`, `'array'`, `'object'`, `'{}'`, `"C"`}

var token = regexp.MustCompile(`\$[0-9]+|'[^']*'|"[^"]*"|[A-Za-z_][A-Za-z_0-9]*|[0-9]+(?:\.[0-9]+)?|\s+|::|->|#>>|@>|[<>=]+|[(),.*+/\[\]]`)

// checkShape fails unless a statement is made of the compiler's own words, with every
// argument in its place.
func checkShape(t *testing.T, s *statement) {
	t.Helper()
	text := s.text.String()
	used := map[int]bool{}
	rest := text
	for _, part := range token.FindAllString(text, -1) {
		i := strings.Index(rest, part)
		if i != 0 {
			t.Fatalf("%q is none of the compiler's: %s", rest[:i], text)
		}
		rest = rest[len(part):]
		switch c := part[0]; {
		case c == '$':
			n, err := strconv.Atoi(part[1:])
			if err != nil || n < 1 || n > len(s.args) {
				t.Fatalf("%s of %d arguments: %s", part, len(s.args), text)
			}
			used[n] = true
		case c == '\'' || c == '"':
			if !slices.Contains(literals, part) {
				t.Fatalf("the literal %s is none of the compiler's: %s", part, text)
			}
		case c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z':
			if !slices.Contains(vocabulary, part) {
				t.Fatalf("the word %s is none of the compiler's: %s", part, text)
			}
		}
	}
	if rest != "" {
		t.Fatalf("%q is none of the compiler's: %s", rest, text)
	}
	if len(used) != len(s.args) {
		t.Fatalf("%d of %d arguments are used: %s", len(used), len(s.args), text)
	}
	if strings.Count(text, "(") != strings.Count(text, ")") {
		t.Fatalf("brackets don't match: %s", text)
	}
}

// compiling answers nothing, and checks what it would have sent to the database.
type compiling struct {
	t        *testing.T
	compiled int
}

func (c *compiling) check(s *statement) {
	c.t.Helper()
	c.compiled++
	checkShape(c.t, s)
}

func (c *compiling) RankedTypes(context.Context, string, *query.TypeCount, int) ([]query.TypeCount, error) {
	return nil, nil
}

func (c *compiling) MinuteCounts(context.Context, []string, []int64, func(string, int, int64)) error {
	return nil
}
func (c *compiling) Count(context.Context, string) (int64, error)              { return 0, nil }
func (c *compiling) ReadsAllTypes() bool                                       { return false }
func (c *compiling) QuestionAnswered(string, query.Plan, time.Duration, error) {}
func (c *compiling) Aggregate(_ context.Context, a *query.Aggregation) (*query.Table, error) {
	c.check(aggregate(a))
	return &query.Table{}, nil
}

func (c *compiling) ScanSteps(_ context.Context, s *query.StepScan, _ func(*query.StepEvent) error) error {
	c.check(scanSteps(s, true))
	c.check(scanSteps(s, false))
	return nil
}

func (c *compiling) List(_ context.Context, l *query.Listing, _ func(*event.Event) error) error {
	c.check(list(l, l.Slice.From, l.Slice.To, l.Limit, true))
	c.check(list(l, l.Slice.From, l.Slice.To, l.Limit, false))
	return nil
}

// FuzzCompile asks every kind of question with any texts in it: whatever they are, they
// are refused, or end up as arguments.
func FuzzCompile(f *testing.F) {
	hostile := []string{`payload.plan`, `payload["'; DROP TABLE events; --"]`, `payload.a'b`, `payload[0]["$1"].x`, `payload.\`, `event_type`, `user_id`, "payload.\x00", `payload["\ud800"]`}
	values := []string{`"x"`, `"'; DROP TABLE events; --"`, `1`, `-0.0`, `1e308`, `null`, `true`, `["a", 1, null]`, `"\u0000"`, `[`, ``, `{"a":1}`}
	for i, field := range hostile {
		for j, value := range values {
			f.Add(field, hostile[(i+1)%len(hostile)], value, "view", "Europe/Berlin", uint16(i*31+j))
		}
	}
	metrics := []query.Metric{query.Count, query.UniqueUsers, query.Sum, query.Avg, query.Min, query.Max, query.P50, query.P90, query.P95, query.P99}
	operators := []query.Operator{query.Eq, query.Neq, query.In, query.NotIn, query.Exists, query.Gt, query.Gte, query.Lt, query.Lte, query.Contains, query.StartsWith}
	orders := []query.Order{query.ValueDesc, query.ValueAsc, query.KeyAsc, query.KeyDesc}
	f.Fuzz(func(t *testing.T, field, other, value, eventType, zone string, choice uint16) {
		c := &compiling{t: t}
		s := query.New(query.Config{Probe: func(context.Context) error { return nil }, Counter: c, Reader: c, Totals: c, Observer: c, Clock: time.Now})
		bit := func(i int) bool { return choice>>i&1 == 1 }
		filters := []query.RawFilter{{Field: field, Op: operators[int(choice)%len(operators)], Value: []byte(value)}}
		if bit(3) {
			filters = append(filters, query.RawFilter{Field: other, Op: query.Eq, Value: []byte(value)})
		}
		if !wellFormed(value) {
			filters = nil // the decoder has seen to that
		}
		q := &query.Question{
			Types: []string{eventType}, Metric: metrics[int(choice)%len(metrics)], From: 1, To: 1_000_000, GroupBy: []string{field, other}, Filters: filters,
			Any: bit(4), Order: orders[int(choice)%len(orders)], IncludeOther: bit(5),
		}
		if q.Metric.Numeric() {
			q.Value = other
		}
		if bit(6) {
			q.Interval, q.Zone = query.Day, zone
		}
		step := query.RawStep{Type: eventType, Filters: filters, Any: bit(4)}
		ctx := t.Context()
		_, _, errAsk := s.Ask(ctx, q)
		_, _, errFunnel := s.Funnel(ctx, &query.FunnelQuestion{Steps: []query.RawStep{step, {Type: other}}, From: 1, To: 1_000_000, GroupBy: []string{field}})
		_, _, errList := s.ListEvents(ctx, &query.ListQuestion{Type: eventType, Filters: filters, Any: bit(4), Cursor: zone})
		refused := 0
		for _, err := range []error{errAsk, errFunnel, errList} {
			var invalid *event.InvalidError
			switch {
			case errors.As(err, &invalid):
				refused++
			case err != nil:
				t.Fatal(err)
			}
		}
		least := 3
		if q.Metric == query.Count { // which may need no SQL
			least = 2
		}
		if c.compiled+refused < least {
			t.Fatalf("%d compiled, %d refused", c.compiled, refused)
		}
	})
}

// wellFormed says whether a filter's value gets past the decoder.
func wellFormed(value string) bool {
	return value == "" || json.Valid([]byte(value))
}
