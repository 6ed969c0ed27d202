package backendtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ingest"
	"highload.example/analytics/impl/query"
)

// AskedStore is a record that questions are asked about.
type AskedStore interface {
	ingest.Store
	query.Counter
	query.Reader
	Fold(ctx context.Context, before time.Time) (rows int, more bool, err error)
}

// Questions asks random questions about random events, and compares the answers of
// stores, which must be empty, with those of a model. It returns how many were compared.
func Questions(t *testing.T, seed uint64, rounds int, stores map[string]AskedStore) (compared int) {
	t.Helper()
	r := &random{rand.New(rand.NewPCG(seed, seed))}
	scene := r.scene()
	m := &model{events: r.events(scene)}
	for name, s := range stores {
		load(t, r, s, m.events, scene)
		services := query.New(query.Config{
			Probe: func(context.Context) error { return nil }, Counter: s, Reader: s, Totals: modelTotals{}, Observer: silent{}, Clock: func() time.Time { return time.Unix(scene.now, 0) },
		})
		questions := &random{rand.New(rand.NewPCG(seed, 1))} // the same for each store
		for i := range rounds {
			a := &asking{t: t, ctx: t.Context(), m: m, s: services, r: questions, scene: scene, where: fmt.Sprintf("%s, seed %d, round %d", name, seed, i)}
			for _, ask := range []func(){a.query, a.query, a.query, a.funnel, a.retention, a.series, a.count, a.list} {
				ask()
				compared++
			}
			if t.Failed() {
				return compared
			}
		}
	}
	return compared
}

type modelTotals struct{}

func (modelTotals) Count(context.Context, string) (int64, error) { return 0, nil }

type silent struct{}

func (silent) QuestionAnswered(string, query.Plan, time.Duration, error) {}

// load stores the events, some of them twice and late, and folds some of the counts.
func load(t *testing.T, r *random, s AskedStore, events []event.Event, scene scene) {
	t.Helper()
	w := writer(t, s)
	order := r.Perm(len(events))
	for batch := range slices.Chunk(order, 37) {
		var list []event.Event
		for _, i := range batch {
			list = append(list, events[i])
			if r.IntN(5) == 0 {
				list = append(list, events[order[r.IntN(len(order))]])
			}
		}
		write(t, w, list...)
		if r.IntN(3) == 0 {
			if _, _, err := s.Fold(t.Context(), time.Unix(scene.from+r.Int64N(scene.to-scene.from), 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// scene is where and when events happen: about a change of a zone's clock, or not.
type scene struct {
	zone     string
	from, to int64 // of the events
	now      int64
}

// zones are those whose clocks are unlike others', with a moment at which something
// happens there.
var zones = []struct {
	name string
	at   string
}{
	{"UTC", "2024-02-29T00:00:00Z"},
	{"Europe/Berlin", "2024-03-31T01:00:00Z"},
	{"Europe/Berlin", "2024-10-27T01:00:00Z"},
	{"America/St_Johns", "2010-11-07T02:31:00Z"}, // a minute after midnight, into the day before
	{"America/St_Johns", "2024-03-10T05:30:00Z"},
	{"Asia/Kathmandu", "2024-01-01T00:00:00Z"},      // 5:45 ahead
	{"Australia/Lord_Howe", "2024-04-06T15:00:00Z"}, // by half an hour
	{"Australia/Lord_Howe", "2024-10-05T15:30:00Z"},
	{"Africa/Casablanca", "2024-03-10T02:00:00Z"}, // for Ramadan
	{"Africa/Casablanca", "2024-04-14T02:00:00Z"},
	{"America/Sao_Paulo", "2018-11-04T03:00:00Z"}, // there was no midnight
	{"America/Havana", "2024-11-03T05:00:00Z"},    // midnight came twice
	{"Pacific/Apia", "2011-12-30T10:00:00Z"},      // a day was left out
}

// random draws what questions are made of.
type random struct{ *rand.Rand }

func one[T any](r *random, from ...T) T { return from[r.IntN(len(from))] }

func (r *random) chance(n int) bool { return r.IntN(n) == 0 }

func (r *random) scene() scene {
	z := one(r, zones...)
	at, err := time.Parse(time.RFC3339, z.at)
	if err != nil {
		panic(err)
	}
	before, after := one[int64](r, 3600, 86_400, 10*86_400), one[int64](r, 7200, 2*86_400, 20*86_400)
	s := scene{zone: z.name, from: at.Unix() - r.Int64N(before) - 1, to: at.Unix() + r.Int64N(after) + 1}
	s.now = s.from + r.Int64N(2*(s.to-s.from))
	return s
}

var eventTypes = []string{"view", "cart", "buy", "sign.up"}

func (r *random) events(s scene) []event.Event {
	events := make([]event.Event, 20+r.IntN(300))
	seen := map[event.Key]bool{}
	for i := range events {
		e := &events[i]
		for {
			*e = event.Event{UserID: 1 + r.Int64N(8), OccurredAt: s.from + r.Int64N(s.to-s.from), Type: one(r, eventTypes...)}
			if r.chance(4) && i > 0 {
				e.OccurredAt = events[r.IntN(i)].OccurredAt + r.Int64N(3) // ties, and ways
			}
			e.ID = event.ID{byte(r.IntN(256)), byte(r.IntN(3)), 15: byte(1 + r.IntN(3))}
			if !seen[e.Key()] {
				break
			}
		}
		seen[e.Key()] = true
		e.Payload = r.payload()
	}
	return events
}

// scalars are values of which some are equal though written differently, and some differ
// though they look alike.
var scalars = []string{
	`null`, `true`, `false`, `0`, `-0.0`, `1`, `1.0`, `10e-1`, `"1"`, `"true"`, `"null"`, `""`, `2.50`, `-3`, `100`, `1e2`, `0.1`, `0.10`, `1E-7`,
	`9007199254740993`, `9007199254740992.0`, `12345678901234567890.123`, `1e30`, `-7.25`, `"pro"`, `"free"`, `"Pro"`, `"p\u0072o"`, `"ä"`, `"z"`, `"a b"`,
	`"\"quoted\\"`, `"\n\u0001"`, `"😀"`, `"` + "\u2028" + `"`,
}

var containers = []string{
	`[]`, `{}`, `[1]`, `[1.0]`, `["pro", 1, null]`, `[[1], {"a": 2}]`, `{"a":1,"bb":2}`, `{"bb":2.0,"a":1}`, `{"b":"x","a":{"sku":"x"}}`,
	`[{"sku":"s1"},{"sku":"s2"}]`, `[{"sku":1},{"sku":"s1"}]`, `{"0":"zero","deep":"no"}`,
}

func (r *random) value() string {
	if r.chance(6) {
		return one(r, containers...)
	}
	return one(r, scalars...)
}

func (r *random) payload() []byte {
	if r.chance(12) {
		return nil
	}
	var members []string
	add := func(name, value string) { members = append(members, name+one(r, ":", " : ", ":\n")+value) }
	if !r.chance(6) {
		add(`"plan"`, one(r, `"pro"`, `"free"`, `"free"`, r.value()))
	}
	if !r.chance(4) {
		add(`"price"`, one(r, fmt.Sprintf("%d.%02d", r.IntN(100), r.IntN(100)), fmt.Sprint(r.IntN(50)), r.value()))
	}
	if r.chance(2) {
		add(`"nested"`, one(r, `{"deep":`+r.value()+`}`, r.value()))
	}
	if r.chance(2) {
		add(`"items"`, one(r, `[`+r.value()+`,{"sku":`+r.value()+`}]`, one(r, containers...)))
	}
	if r.chance(3) {
		add(`"a.b"`, r.value())
	}
	if r.chance(3) {
		add(`"wörter \"x\" [1]"`, r.value())
	}
	r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return []byte("{" + strings.Join(members, ",") + "}")
}

func (r *random) field() string {
	return one(r, "event_type", "user_id", "payload.plan", "payload.plan", "payload.price", "payload.nested.deep", "payload.items[0]",
		"payload.items[1].sku", "payload.items", `payload["a.b"]`, "payload.items.0", "payload.plan[0]", `payload["wörter \"x\" [1]"]`)
}

func (r *random) filters() (filters []query.RawFilter, any bool) {
	for range one(r, 0, 0, 0, 1, 1, 2, 3) {
		f := query.RawFilter{Field: r.field(), Op: one(r, query.Eq, query.Neq, query.In, query.NotIn, query.Exists, query.Gt, query.Gte, query.Lt, query.Lte, query.Contains, query.StartsWith)}
		operand := func() string {
			switch {
			case f.Field == "event_type" && !r.chance(4):
				return `"` + one(r, eventTypes...) + `"`
			case f.Field == "user_id" && !r.chance(4):
				return fmt.Sprint(1 + r.IntN(8))
			}
			return one(r, scalars...)
		}
		text := operand()
		switch f.Op {
		case query.In, query.NotIn:
			text = "[" + strings.Join([]string{operand(), operand(), operand()}[:r.IntN(4)], ", ") + "]"
		case query.Exists:
			text = one(r, "true", "false", "")
		case query.Gt, query.Gte, query.Lt, query.Lte:
			text = one(r, `1`, `1.00`, `50`, `0.1`, `9007199254740992`, `"free"`, `"pro"`, `""`, `"1"`)
		case query.StartsWith:
			text = one(r, `"p"`, `""`, `"\"q"`, `"ä"`, `"view"`, `"P"`)
		default:
		}
		if text != "" {
			f.Value = []byte(text)
		}
		filters = append(filters, f)
	}
	return filters, r.chance(2)
}

// period draws a range within or around the scene's, on whole units or not, perhaps empty.
func (r *random) period(s scene) (from, to int64) {
	span := s.to - s.from
	from = s.from - span/10 + r.Int64N(span)
	to = from + r.Int64N(span+span/5)
	unit := one[int64](r, 1, 1, 60, 900, 3600, 86_400)
	from -= from % unit
	to -= to % unit
	if r.chance(20) {
		to = from
	}
	return max(from, 946684800), max(to, from, 946684800)
}

func (r *random) zone(s scene) string { return one(r, s.zone, s.zone, "", "UTC") }

// interval draws one that cuts a range into few enough buckets.
func (r *random) interval(from, to int64) query.Interval {
	fitting := []query.Interval{query.Day, query.Week, query.Month}
	if to-from < 3600*500 {
		fitting = append(fitting, query.Hour)
	}
	if to-from < 60*500 {
		fitting = append(fitting, query.Minute)
	}
	return one(r, fitting...)
}

func (r *random) fields() []string {
	var fields []string
	for range one(r, 0, 1, 1, 1, 2, 3) {
		if f := r.field(); !slices.Contains(fields, f) {
			fields = append(fields, f)
		}
	}
	return fields
}

func (r *random) types() []string {
	all := slices.Clone(eventTypes)
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:one(r, 0, 1, 1, 2, 4)]
}

func (r *random) step() query.RawStep {
	s := query.RawStep{Type: one(r, eventTypes...)}
	if r.chance(3) {
		s.Filters, s.Any = r.filters()
	}
	return s
}

// asking asks one question of both, and compares.
type asking struct {
	t     *testing.T
	ctx   context.Context //nolint:containedctx // the test's
	m     *model
	s     *query.Service
	r     *random
	scene scene
	where string
}

func (a *asking) compare(question any, err error, got, want string) {
	a.t.Helper()
	if err != nil {
		a.t.Errorf("%s: %+v: %v", a.where, question, err)
	} else if got != want {
		a.t.Errorf("%s: %+v\ngot\n%s\nwant\n%s", a.where, question, got, want)
	}
}

func (a *asking) query() {
	r := a.r
	q := &query.Question{
		Types: r.types(), Metric: one(r, query.Count, query.Count, query.UniqueUsers, query.Sum, query.Avg, query.Min, query.Max, query.P50, query.P90, query.P95, query.P99),
		Zone: r.zone(a.scene), Order: one(r, "", query.ValueDesc, query.ValueAsc, query.KeyAsc, query.KeyDesc), Limit: one(r, 0, 1, 2, 3, 10),
	}
	q.From, q.To = r.period(a.scene)
	if r.chance(4) { // what the counts alone answer
		q.Metric, q.GroupBy = query.Count, one(r, nil, []string{"event_type"})
	} else {
		q.GroupBy = r.fields()
		q.Filters, q.Any = r.filters()
	}
	if q.Metric.Numeric() {
		q.Value = one(r, "payload.price", "payload.price", "payload.plan", "payload.items[0]")
	}
	if r.chance(2) {
		q.Interval = r.interval(q.From, q.To)
	}
	q.IncludeOther = len(q.GroupBy) > 0 && r.chance(2)
	answer, _, err := a.s.Ask(a.ctx, q)
	got := ""
	if err == nil {
		got = renderAnswer(answer)
	}
	a.compare(*q, err, got, a.m.ask(q, a.scene.now))
}

func renderKey(key []query.Value) string {
	texts := make([]string, len(key))
	for i, v := range key {
		texts[i] = string(v.AppendJSON(nil))
	}
	return strings.Join(texts, "|")
}

func renderAnswer(answer *query.Answer) string {
	var b strings.Builder
	if answer.Buckets != nil {
		b.WriteString(renderQueryBuckets(answer.Buckets, answer.Now))
	}
	line := func(name string, g *query.Group) {
		fmt.Fprintf(&b, "%s = %s", name, g.Number)
		for _, n := range g.Cells {
			fmt.Fprintf(&b, " %s,", n)
		}
		b.WriteByte('\n')
	}
	for i := range answer.Groups {
		line(renderKey(answer.Groups[i].Key), &answer.Groups[i])
	}
	if answer.Other != nil {
		line(fmt.Sprintf("%d others", answer.OtherGroups), answer.Other)
	}
	return b.String()
}

func renderQueryBuckets(buckets *query.Buckets, now int64) string {
	var b strings.Builder
	for i, start := range buckets.Starts {
		fmt.Fprintf(&b, "%d", start)
		if buckets.Partial(i, now) {
			b.WriteByte('*')
		}
		b.WriteByte(' ')
	}
	return b.String() + "\n"
}

func (a *asking) funnel() {
	r := a.r
	q := &query.FunnelQuestion{
		Window: one[int64](r, 0, 1, 60, 3600, 86_400, 10*86_400), Strict: r.chance(2),
		GroupBy: one(r, nil, r.fields()), Limit: one(r, 0, 1, 3),
	}
	for range 2 + r.IntN(3) {
		q.Steps = append(q.Steps, r.step())
	}
	q.From, q.To = r.period(a.scene)
	answer, _, err := a.s.Funnel(a.ctx, q)
	var b strings.Builder
	line := func(name string, steps []query.FunnelStep) {
		b.WriteString(name)
		for _, s := range steps {
			fmt.Fprintf(&b, " %d", s.Users)
			if s.Median != nil {
				fmt.Fprintf(&b, "(%d)", *s.Median)
			}
		}
		b.WriteByte('\n')
	}
	if err == nil {
		line("all", answer.Steps)
		for _, g := range answer.Groups {
			line(renderKey(g.Key), g.Steps)
		}
	}
	a.compare(*q, err, b.String(), a.m.funnel(q))
}

func (a *asking) retention() {
	r := a.r
	q := &query.RetentionQuestion{First: r.step(), Returning: r.step(), Interval: one(r, query.Day, query.Week, query.Month), Zone: r.zone(a.scene), Periods: one(r, 0, 1, 3)}
	q.From, q.To = r.period(a.scene)
	answer, _, err := a.s.Retention(a.ctx, q)
	var b strings.Builder
	if err == nil {
		for _, c := range answer.Cohorts {
			fmt.Fprintf(&b, "%d: %d:", c.Start, c.Users)
			for _, n := range c.Returned {
				fmt.Fprintf(&b, " %d", n)
			}
			b.WriteByte('\n')
		}
	}
	a.compare(*q, err, b.String(), a.m.retention(q))
}

// series asks for one with the period before, whose bounds it takes from the answer.
func (a *asking) series() {
	r := a.r
	eventType, zone := one(r, eventTypes...), r.zone(a.scene)
	from, to := r.period(a.scene)
	interval := r.interval(from, to)
	series, _, err := a.s.CountSeries(a.ctx, eventType, interval, zone, &from, &to, true)
	question := fmt.Sprintf("series of %s by %s in %q from %d to %d", eventType, interval, zone, from, to)
	if err != nil {
		a.compare(question, err, "", "")
		return
	}
	render := func(b *query.Buckets, counts []int64) string {
		var texts []string
		for _, n := range counts {
			texts = append(texts, fmt.Sprintf(" %d,", n))
		}
		return renderQueryBuckets(b, a.scene.now) + " = " + strings.Join(texts, "")
	}
	want := func(from, to int64) string {
		text := a.m.ask(&query.Question{Types: []string{eventType}, Metric: query.Count, From: from, To: to, Interval: interval, Zone: zone}, a.scene.now)
		head, numbers, _ := strings.Cut(text, "\n")
		_, numbers, _ = strings.Cut(strings.TrimSuffix(numbers, "\n"), " = ")
		_, cells, _ := strings.Cut(numbers, " ")
		if cells != "" {
			cells = " " + cells
		}
		return head + "\n = " + cells
	}
	a.compare(question, nil, render(series.Buckets, series.Counts), want(from, to))
	a.before(question, series, eventType, interval, zone)
}

// before checks the period before a series: as many buckets of the calendar, the last of
// which ends where the series' first begins. It may be empty within them, where a
// month is too short to have the same days.
func (a *asking) before(question string, series *query.Series, eventType string, interval query.Interval, zone string) {
	p := series.Previous
	if len(p.Starts) != len(series.Buckets.Starts) {
		a.t.Errorf("%s: %s: before %+v come %+v", a.where, question, series.Buckets, p)
		return
	}
	if len(p.Starts) == 0 {
		return
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		a.t.Fatal(err)
	}
	starts, end := clockBuckets(p.Starts[0], series.Buckets.Starts[0], interval, location)
	if end != p.End || end != series.Buckets.Starts[0] || !slices.Equal(starts, p.Starts) || p.From < starts[0] || p.To > end || p.From > p.To {
		a.t.Errorf("%s: %s: before %+v come %+v, want %v", a.where, question, series.Buckets, p, starts)
		return
	}
	for i, start := range starts {
		stop := end
		if i+1 < len(starts) {
			stop = starts[i+1]
		}
		want := len(a.m.in([]string{eventType}, 0, max(start, p.From), min(stop, p.To), nil, false))
		if series.PreviousCounts[i] != int64(want) {
			a.t.Errorf("%s: %s: %d in bucket %d before, want %d", a.where, question, series.PreviousCounts[i], i, want)
		}
	}
}

func (a *asking) count() {
	r := a.r
	eventType := one(r, eventTypes...)
	from, to := r.period(a.scene)
	var begin, end *int64
	if !r.chance(4) {
		begin = &from
	}
	if begin == nil || !r.chance(4) {
		end = &to
	}
	n, _, err := a.s.CountType(a.ctx, eventType, begin, end)
	if begin == nil {
		from = 0
	}
	if end == nil {
		to = 1 << 40
	}
	a.compare(fmt.Sprintf("count of %s from %d to %d", eventType, from, to), err, fmt.Sprint(n),
		fmt.Sprint(len(a.m.in([]string{eventType}, 0, from, to, nil, false))))
}

// list reads a list to its end, page by page, and an export of the same.
func (a *asking) list() {
	r := a.r
	q := query.ListQuestion{Limit: one(r, 3, 10, 1000)}
	if r.chance(2) {
		q.Type = one(r, eventTypes...)
	}
	if r.chance(3) {
		q.UserID = 1 + r.Int64N(8)
	}
	from, to := int64(0), int64(1)<<40
	if r.chance(2) {
		from, to = r.period(a.scene)
		q.From, q.To = &from, &to
	}
	q.Filters, q.Any = r.filters()
	var types []string
	if q.Type != "" {
		types = []string{q.Type}
	}
	var want, got, exported []string
	for _, e := range a.m.in(types, q.UserID, from, to, q.Filters, q.Any) {
		want = append(want, renderEvent(e))
	}
	page := q
	for {
		p, _, err := a.s.ListEvents(a.ctx, &page)
		if err != nil {
			a.compare(q, err, "", "")
			return
		}
		for _, e := range p.Events {
			got = append(got, renderEvent(e))
		}
		if p.Next == "" {
			break
		}
		if len(p.Events) != q.Limit {
			a.compare(q, errors.New("a page in between isn't full"), "", "")
			return
		}
		page.Cursor = p.Next
	}
	slices.Reverse(got)
	a.compare(q, nil, strings.Join(got, "\n"), strings.Join(want, "\n"))
	n := 0
	err := a.s.ExportEvents(a.ctx, &q, func(e *event.Event) bool {
		exported = append(exported, renderEvent(*e))
		n++
		return n%7 == 0 // small pages
	}, func() error { return nil })
	a.compare(q, err, strings.Join(exported, "\n"), strings.Join(want, "\n"))
}

func renderEvent(e event.Event) string {
	payload := "none"
	if e.Payload != nil {
		payload = textOf(readJSON(e.Payload))
	}
	return fmt.Sprintf("%s %d %s %s", query.FormatCursor(e.Key()), e.OccurredAt, e.Type, payload)
}
