package backendtest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/query"
)

// model answers questions from a list of events, in the plainest way that there is: it
// reads payloads with encoding/json, computes with fractions, and finds out what a day
// is by looking at the clock once a minute. It shares nothing with package query but
// the words of the questions. Its answers are text, as render makes of the others'.
type model struct {
	events []event.Event // each once
}

// in returns the events that fit, in the order of time, id and user.
func (m *model) in(types []string, user, from, to int64, filters []query.RawFilter, any bool) []event.Event {
	var fitting []event.Event
	for _, e := range m.events {
		if (len(types) == 0 || slices.Contains(types, e.Type)) && (user == 0 || e.UserID == user) &&
			e.OccurredAt >= from && e.OccurredAt < to && matches(e, filters, any) {
			fitting = append(fitting, e)
		}
	}
	slices.SortFunc(fitting, func(a, b event.Event) int {
		return cmp.Or(cmp.Compare(a.OccurredAt, b.OccurredAt), bytes.Compare(a.ID[:], b.ID[:]), cmp.Compare(a.UserID, b.UserID))
	})
	return fitting
}

// fieldOf returns a field's value as encoding/json reads it; nil where there is none.
func fieldOf(e event.Event, field string) any {
	switch field {
	case "event_type":
		return e.Type
	case "user_id":
		return json.Number(strconv.FormatInt(e.UserID, 10))
	}
	if e.Payload == nil {
		return nil
	}
	value := readJSON(e.Payload)
	for _, step := range modelPaths[field] {
		switch s := step.(type) {
		case string:
			object, _ := value.(map[string]any)
			value = object[s]
		case int:
			array, _ := value.([]any)
			if s >= len(array) {
				return nil
			}
			value = array[s]
		}
	}
	return value
}

// modelPaths are the fields that questions ask about, spelled out.
var modelPaths = map[string][]any{
	"payload.plan":                {"plan"},
	"payload.price":               {"price"},
	"payload.nested.deep":         {"nested", "deep"},
	"payload.items[0]":            {"items", 0},
	"payload.items[1].sku":        {"items", 1, "sku"},
	"payload.items":               {"items"},
	`payload["a.b"]`:              {"a.b"},
	"payload.items.0":             {"items", "0"},
	"payload.plan[0]":             {"plan", 0},
	`payload["wörter \"x\" [1]"]`: {`wörter "x" [1]`},
}

func readJSON(text []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		panic(fmt.Sprintf("%q: %v", text, err))
	}
	return value
}

func rational(n json.Number) *big.Rat {
	r, ok := new(big.Rat).SetString(string(n))
	if !ok {
		panic("not a number: " + string(n))
	}
	return r
}

// decimal writes a finite decimal with all its digits.
func decimal(r *big.Rat) string {
	digits, exact := r.FloatPrec()
	if !exact {
		panic("not a decimal: " + r.String())
	}
	return r.FloatString(digits)
}

// unescaper undoes what encoding/json escapes beyond JSON's rules.
var unescaper = strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029")

// textOf writes a value so that equal values have equal texts, as jsonb would order them.
func textOf(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return decimal(rational(v))
	case string:
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(v); err != nil {
			panic(err)
		}
		return unescaper.Replace(strings.TrimSpace(b.String()))
	case []any:
		var items []string
		for _, item := range v {
			items = append(items, textOf(item))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		sort.Slice(names, func(i, j int) bool {
			if len(names[i]) != len(names[j]) {
				return len(names[i]) < len(names[j])
			}
			return names[i] < names[j]
		})
		var members []string
		for _, name := range names {
			members = append(members, textOf(name)+": "+textOf(v[name]))
		}
		return "{" + strings.Join(members, ", ") + "}"
	}
	panic(fmt.Sprintf("%T", value))
}

// rank is the place of a value's kind in the order of keys.
func rank(value any) int {
	switch v := value.(type) {
	case nil:
		return 0
	case bool:
		if v {
			return 2
		}
		return 1
	case json.Number:
		return 3
	case string:
		return 4
	case []any:
		return 5
	}
	return 6
}

func compareValues(a, b any) int {
	if c := cmp.Compare(rank(a), rank(b)); c != 0 {
		return c
	}
	if n, ok := a.(json.Number); ok {
		return rational(n).Cmp(rational(b.(json.Number))) //nolint:forcetypeassert // of equal rank
	}
	if s, ok := a.(string); ok {
		return strings.Compare(s, b.(string)) //nolint:forcetypeassert // of equal rank
	}
	return strings.Compare(textOf(a), textOf(b))
}

func matches(e event.Event, filters []query.RawFilter, any bool) bool {
	fitting := 0
	for _, f := range filters {
		if fits(fieldOf(e, f.Field), f) {
			fitting++
		}
	}
	if any && len(filters) > 0 {
		return fitting > 0
	}
	return fitting == len(filters)
}

func fits(value any, f query.RawFilter) bool {
	var operand any
	if f.Value != nil {
		operand = readJSON(f.Value)
	}
	equal := func(w any) bool { return compareValues(value, w) == 0 }
	ordered := func(is func(c int) bool) bool {
		return rank(value) == rank(operand) && is(compareValues(value, operand))
	}
	text, isText := value.(string)
	needle, _ := operand.(string)
	_, needleIsText := operand.(string)
	switch f.Op {
	case query.Eq:
		return equal(operand)
	case query.Neq:
		return !equal(operand)
	case query.In:
		return slices.ContainsFunc(operand.([]any), equal) //nolint:forcetypeassert // drawn so
	case query.NotIn:
		return !slices.ContainsFunc(operand.([]any), equal) //nolint:forcetypeassert // drawn so
	case query.Exists:
		return (value != nil) == (operand == nil || operand == true)
	case query.Gt:
		return ordered(func(c int) bool { return c > 0 })
	case query.Gte:
		return ordered(func(c int) bool { return c >= 0 })
	case query.Lt:
		return ordered(func(c int) bool { return c < 0 })
	case query.Lte:
		return ordered(func(c int) bool { return c <= 0 })
	case query.StartsWith:
		return isText && strings.HasPrefix(text, needle)
	case query.Contains:
	}
	if array, ok := value.([]any); ok {
		return slices.ContainsFunc(array, func(item any) bool { return compareValues(item, operand) == 0 })
	}
	return isText && needleIsText && strings.Contains(text, needle)
}

// number works out a metric; "" is none.
func number(metric query.Metric, field string, events []event.Event) (text string, exact *big.Rat) {
	switch metric {
	case query.Count:
		exact = big.NewRat(int64(len(events)), 1)
		return decimal(exact), exact
	case query.UniqueUsers:
		users := map[int64]bool{}
		for _, e := range events {
			users[e.UserID] = true
		}
		exact = big.NewRat(int64(len(users)), 1)
		return decimal(exact), exact
	default:
	}
	var numbers []*big.Rat
	sum := new(big.Rat)
	for _, e := range events {
		if n, ok := fieldOf(e, field).(json.Number); ok {
			numbers = append(numbers, rational(n))
			sum.Add(sum, rational(n))
		}
	}
	if len(numbers) == 0 {
		return "", nil
	}
	slices.SortFunc(numbers, (*big.Rat).Cmp)
	switch metric {
	case query.Sum:
		exact = sum
	case query.Avg:
		exact = sum.Quo(sum, big.NewRat(int64(len(numbers)), 1))
		nearest, _ := exact.Float64()
		return strconv.FormatFloat(nearest, 'f', -1, 64), exact
	case query.Min:
		exact = numbers[0]
	case query.Max:
		exact = numbers[len(numbers)-1]
	default:
		percent, err := strconv.Atoi(strings.TrimPrefix(string(metric), "p"))
		if err != nil {
			panic(err)
		}
		place := 1 // the first with as many at or below it
		for place*100 < len(numbers)*percent {
			place++
		}
		exact = numbers[place-1]
	}
	return decimal(exact), exact
}

// dateNumber returns the date as a number with the digits of yyyymmdd.
func dateNumber(t time.Time) int64 {
	year, month, day := t.Date()
	return int64(year)*10_000 + int64(month)*100 + int64(day)
}

// clockBuckets cuts a range where the clock of a zone changes its minute, hour, day, week or
// month for the first time, looking once a minute. A bucket's start may be before from.
func clockBuckets(from, to int64, interval query.Interval, zone *time.Location) (starts []int64, end int64) {
	if from >= to {
		return nil, from
	}
	back := map[query.Interval]int64{query.Minute: 3600, query.Hour: 7200, query.Day: 3 * 86400, query.Week: 9 * 86400, query.Month: 34 * 86400}[interval]
	begin := from - from%60 - back
	type label struct{ date, offset int64 }
	highest := label{date: math.MinInt64}
	start := begin
	for at := begin; ; at += 60 {
		local := time.Unix(at, 0).In(zone)
		var now label
		switch interval {
		case query.Minute:
			now.date = at
		case query.Hour: // of the clock, as it is set now
			_, offset := local.Zone()
			since := at + int64(offset)
			now = label{date: since - since%3600, offset: int64(offset)}
		case query.Day:
			now.date = dateNumber(local)
		case query.Week:
			monday := local.Day() - (int(local.Weekday())+6)%7
			now.date = dateNumber(time.Date(local.Year(), local.Month(), monday, 0, 0, 0, 0, time.UTC))
		case query.Month:
			now.date = dateNumber(local) / 100
		}
		changed := now != highest
		if interval != query.Hour && interval != query.Minute {
			changed = now.date > highest.date // a date that comes again is over already
		}
		if changed {
			highest = now
			if at >= to {
				return append(starts, start), at
			}
			if at > from && at > begin {
				starts = append(starts, start)
			}
			start = at
		}
	}
}

// ask answers a Question.
func (m *model) ask(q *query.Question, now int64) string {
	var b strings.Builder
	zone := time.UTC
	if q.Zone != "" {
		var err error
		if zone, err = time.LoadLocation(q.Zone); err != nil {
			panic(err)
		}
	}
	var starts []int64
	var end int64
	if q.Interval != "" {
		starts, end = clockBuckets(q.From, q.To, q.Interval, zone)
		b.WriteString(renderBuckets(starts, end, q.From, q.To, now))
	}
	type group struct {
		key    []any
		name   string
		events []event.Event
		exact  *big.Rat
	}
	byName := map[string]*group{}
	if len(q.GroupBy) == 0 {
		byName[""] = &group{}
	}
	for _, e := range m.in(q.Types, 0, q.From, q.To, q.Filters, q.Any) {
		var key []any
		var names []string
		for _, field := range q.GroupBy {
			value := fieldOf(e, field)
			key = append(key, value)
			names = append(names, textOf(value))
		}
		name := strings.Join(names, "|")
		if byName[name] == nil {
			byName[name] = &group{key: key, name: name}
		}
		byName[name].events = append(byName[name].events, e)
	}
	groups := make([]*group, 0, len(byName))
	for _, g := range byName {
		_, g.exact = number(q.Metric, q.Value, g.events)
		groups = append(groups, g)
	}
	sort.Slice(groups, func(i, j int) bool {
		x, y := groups[i], groups[j]
		keys := slices.CompareFunc(x.key, y.key, compareValues)
		switch q.Order {
		case query.KeyAsc:
			return keys < 0
		case query.KeyDesc:
			return keys > 0
		default:
		}
		if (x.exact == nil) != (y.exact == nil) {
			return y.exact == nil
		}
		if x.exact != nil {
			if c := x.exact.Cmp(y.exact); c != 0 {
				return (c < 0) == (q.Order == query.ValueAsc)
			}
		}
		return keys < 0
	})
	line := func(name string, events []event.Event) {
		text, _ := number(q.Metric, q.Value, events)
		fmt.Fprintf(&b, "%s = %s", name, text)
		for i, start := range starts {
			stop := end
			if i+1 < len(starts) {
				stop = starts[i+1]
			}
			var within []event.Event
			for _, e := range events {
				if e.OccurredAt >= start && e.OccurredAt < stop {
					within = append(within, e)
				}
			}
			text, _ := number(q.Metric, q.Value, within)
			fmt.Fprintf(&b, " %s,", text)
		}
		b.WriteByte('\n')
	}
	limit := q.Limit
	if limit == 0 {
		limit = 100
	}
	for _, g := range groups[:min(limit, len(groups))] {
		line(g.name, g.events)
	}
	if q.IncludeOther && len(groups) > limit {
		var rest []event.Event
		for _, g := range groups[limit:] {
			rest = append(rest, g.events...)
		}
		line(fmt.Sprintf("%d others", len(groups)-limit), rest)
	}
	return b.String()
}

// byUser returns the users of events in order, and the events of each.
func byUser(events []event.Event) (users []int64, of map[int64][]event.Event) {
	of = map[int64][]event.Event{}
	for _, e := range events {
		of[e.UserID] = append(of[e.UserID], e)
	}
	for user := range of {
		users = append(users, user)
	}
	slices.Sort(users)
	return users, of
}

func (m *model) stepFits(e event.Event, s query.RawStep) bool {
	return e.Type == s.Type && matches(e, s.Filters, s.Any)
}

// funnel answers a FunnelQuestion by trying every way that a user may have gone.
func (m *model) funnel(q *query.FunnelQuestion) string {
	type result struct {
		key   []any
		took  [][]int64 // per step: seconds since the one before
		users []int64
	}
	empty := func() *result {
		return &result{took: make([][]int64, len(q.Steps)), users: make([]int64, len(q.Steps))}
	}
	all, groups := empty(), map[string]*result{}
	users, of := byUser(m.in(nil, 0, q.From, q.To, nil, false))
	for _, user := range users {
		var relevant []event.Event
		for _, e := range of[user] {
			if slices.ContainsFunc(q.Steps, func(s query.RawStep) bool { return m.stepFits(e, s) }) {
				relevant = append(relevant, e)
			}
		}
		var best []int
		for i := range relevant {
			if !m.stepFits(relevant[i], q.Steps[0]) {
				continue
			}
			way := []int{i}
			for len(way) < len(q.Steps) {
				next := -1
				for j := way[len(way)-1] + 1; j < len(relevant); j++ {
					if relevant[j].OccurredAt-relevant[i].OccurredAt > q.Window {
						break
					}
					if m.stepFits(relevant[j], q.Steps[len(way)]) {
						next = j
						break
					}
					if q.Strict {
						break
					}
				}
				if next < 0 {
					break
				}
				way = append(way, next)
			}
			if len(way) > len(best) {
				best = way
			}
		}
		if best == nil {
			continue
		}
		var key []any
		var names []string
		for _, field := range q.GroupBy {
			value := fieldOf(relevant[best[0]], field)
			key = append(key, value)
			names = append(names, textOf(value))
		}
		name := strings.Join(names, "|")
		if groups[name] == nil {
			groups[name] = empty()
			groups[name].key = key
		}
		for _, r := range []*result{all, groups[name]} {
			for step, j := range best {
				r.users[step]++
				if step > 0 {
					r.took[step] = append(r.took[step], relevant[j].OccurredAt-relevant[best[step-1]].OccurredAt)
				}
			}
		}
	}
	var b strings.Builder
	line := func(name string, r *result) {
		b.WriteString(name)
		for step, n := range r.users {
			fmt.Fprintf(&b, " %d", n)
			if took := r.took[step]; len(took) > 0 {
				slices.Sort(took)
				fmt.Fprintf(&b, "(%d)", took[(len(took)-1)/2])
			}
		}
		b.WriteByte('\n')
	}
	line("all", all)
	if len(q.GroupBy) == 0 {
		return b.String()
	}
	names := make([]string, 0, len(groups))
	for name := range groups {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		x, y := groups[names[i]], groups[names[j]]
		if x.users[0] != y.users[0] {
			return x.users[0] > y.users[0]
		}
		return slices.CompareFunc(x.key, y.key, compareValues) < 0
	})
	limit := q.Limit
	if limit == 0 {
		limit = 100
	}
	for _, name := range names[:min(limit, len(names))] {
		line(name, groups[name])
	}
	return b.String()
}

// retention answers a RetentionQuestion.
func (m *model) retention(q *query.RetentionQuestion) string {
	zone := time.UTC
	if q.Zone != "" {
		var err error
		if zone, err = time.LoadLocation(q.Zone); err != nil {
			panic(err)
		}
	}
	starts, end := clockBuckets(q.From, q.To, q.Interval, zone)
	bucketOf := func(at int64) int {
		for i := range starts {
			stop := end
			if i+1 < len(starts) {
				stop = starts[i+1]
			}
			if at >= starts[i] && at < stop {
				return i
			}
		}
		panic("an event in no bucket")
	}
	periods := q.Periods
	if periods == 0 {
		periods = 12
	}
	users, of := byUser(m.in(nil, 0, q.From, q.To, nil, false))
	size := make([]int, len(starts))
	back := make([]map[int]map[int64]bool, len(starts))
	for i := range back {
		back[i] = map[int]map[int64]bool{}
	}
	for _, user := range users {
		first := slices.IndexFunc(of[user], func(e event.Event) bool { return m.stepFits(e, q.First) })
		if first < 0 {
			continue
		}
		cohort := bucketOf(of[user][first].OccurredAt)
		size[cohort]++
		for _, e := range of[user][first+1:] {
			if m.stepFits(e, q.Returning) {
				period := bucketOf(e.OccurredAt) - cohort
				if back[cohort][period] == nil {
					back[cohort][period] = map[int64]bool{}
				}
				back[cohort][period][user] = true
			}
		}
	}
	var b strings.Builder
	for i, start := range starts {
		fmt.Fprintf(&b, "%d: %d:", start, size[i])
		for period := 0; period < periods && i+period < len(starts); period++ {
			fmt.Fprintf(&b, " %d", len(back[i][period]))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// renderBuckets writes buckets; a * stands behind a partial one.
func renderBuckets(starts []int64, end, from, to, now int64) string {
	var b strings.Builder
	for i, start := range starts {
		stop := end
		if i+1 < len(starts) {
			stop = starts[i+1]
		}
		fmt.Fprintf(&b, "%d", start)
		if start < from || stop > to || stop > now {
			b.WriteByte('*')
		}
		b.WriteByte(' ')
	}
	return b.String() + "\n"
}
