package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"highload.example/analytics/test/load/report"
)

func TestResultsAreComparedByTypeAndPlace(t *testing.T) {
	t.Parallel()
	ours, err := readGroups([]byte(`{"buckets": [{"start": 100}, {"start": 200}], "groups": [
		{"key": [1], "value": 5, "values": [5, 0]}, {"key": ["1"], "value": 3, "values": [1, 2]}, {"key": [null], "value": 1, "values": [0, 1]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	same := result{
		{"1", whole}: "5", {"1", 100}: "5", {`"1"`, whole}: "3", {`"1"`, 100}: "1", {`"1"`, 200}: "2", {"null", whole}: "1", {"null", 200}: "1",
	}
	if err := ours.differs(same); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(result){
		"another number":      func(r result) { r[cell{"1", 100}] = "6" },
		"one that is missing": func(r result) { delete(r, cell{"null", 200}) },
		"one too many":        func(r result) { r[cell{"2", 100}] = "1" },
		"another type":        func(r result) { delete(r, cell{"1", whole}); r[cell{`"1"`, whole}] = "5" },
	} {
		other := result{}
		for c, n := range same {
			other[c] = n
		}
		change(other)
		if ours.differs(other) == nil || other.differs(ours) == nil {
			t.Errorf("%s: isn't noticed", name)
		}
	}
	if _, err := ours.loosened(); err == nil {
		t.Error(`1 and "1" were put together`)
	}
}

func TestLooseResultsAreTexts(t *testing.T) {
	t.Parallel()
	loose, err := result{{`"free"`, whole}: "1", {"null", 7}: "2", {"1", whole}: "3"}.loosened()
	if err != nil {
		t.Fatal(err)
	}
	if err := loose.differs(result{{"free", whole}: "1", {"null", 7}: "2", {"1", whole}: "3"}); err != nil {
		t.Error(err)
	}
}

func TestResultsThatCompareNothing(t *testing.T) {
	t.Parallel()
	zero := result{}
	zero.step(0, 0, nil)
	if !zero.empty() || !(result{}).empty() {
		t.Error("a result of nothing isn't empty")
	}
	median := int64(0)
	zero.step(1, 1, &median)
	if zero.empty() {
		t.Error("a result is empty")
	}
	for _, body := range []string{
		`{"buckets": [{"start": 1}], "groups": [{"key": ["a"], "value": 1, "values": []}]}`,
		`{"buckets": [], "groups": [], "other": {"groups": 1, "value": 2}}`, `nonsense`,
	} {
		if _, err := readGroups([]byte(body)); err == nil {
			t.Errorf("%s was read", body)
		}
	}
}

func TestFunnelsAreReadFromBoth(t *testing.T) {
	t.Parallel()
	ours, err := readFunnel([]byte(`{"steps": [{"users": 9, "conversion": 1, "median_seconds": null}, {"users": 4, "median_seconds": 60}, {"users": 0, "median_seconds": null}]}`))
	if err != nil {
		t.Fatal(err)
	}
	byHand := result{}
	if err := readSteps(byHand, row(int64(9), int64(4), int64(0), int64(60), nil)); err != nil {
		t.Fatal(err)
	}
	if err := ours.differs(byHand); err != nil {
		t.Error(err)
	}
}

// row is a scanner of one row.
func row(values ...any) scanner {
	return func(columns ...any) error {
		if len(columns) != len(values) {
			return fmt.Errorf("%d columns, not %d", len(columns), len(values))
		}
		for i, column := range columns {
			to := reflect.ValueOf(column).Elem()
			switch value := reflect.ValueOf(values[i]); {
			case values[i] == nil:
				to.SetZero()
			case to.Kind() == reflect.Pointer:
				to.Set(reflect.New(value.Type()))
				to.Elem().Set(value)
			default:
				to.Set(value)
			}
		}
		return nil
	}
}

func TestCountsAreSummedByGroup(t *testing.T) {
	t.Parallel()
	a := result{}
	for _, r := range []scanner{row(int64(100), `"a"`, int64(2)), row(int64(200), `"a"`, int64(3)), row(int64(100), nil, int64(4))} {
		if err := readCounts(a, r); err != nil {
			t.Fatal(err)
		}
	}
	want := result{{`"a"`, 100}: "2", {`"a"`, 200}: "3", {`"a"`, whole}: "5", {"null", 100}: "4", {"null", whole}: "4"}
	if err := a.differs(want); err != nil {
		t.Error(err)
	}
}

func TestDaysAreThoseOfTheZone(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	end := time.Date(2026, 11, 10, 23, 30, 0, 0, time.UTC).Unix()
	utc, local := days(end, 30, time.UTC), days(end, 30, berlin)
	if utc.to != time.Date(2026, 11, 10, 0, 0, 0, 0, time.UTC).Unix() || utc.to-utc.from != 30*daySeconds {
		t.Errorf("%+v", utc)
	}
	// It is the eleventh there, and a day with 25 hours lies between.
	if local.to != time.Date(2026, 11, 10, 23, 0, 0, 0, time.UTC).Unix() || local.to-local.from != 30*daySeconds+3600 {
		t.Errorf("%+v", local)
	}
	if starts := utc.starts(); len(starts) != 30 || starts[29].Unix() != utc.to-daySeconds {
		t.Error(starts)
	}
}

func TestNoStatementHasAPlaceLeftToFill(t *testing.T) {
	t.Parallel()
	for _, store := range []string{postgres, sqlite} {
		names := map[string]bool{}
		for _, q := range queries(store, 1795737600) {
			for _, b := range q.statements {
				if strings.ContainsAny(b.sql, "{}\n") || b.sql == "" {
					t.Errorf("%s, %s: %s", q.name, b.name, b.sql)
				}
				if names[q.name+b.name] {
					t.Errorf("%s: two are called %s", q.name, b.name)
				}
				names[q.name+b.name] = true
				if q.compared && b.loose {
					t.Errorf("%s can't be compared loosely", q.name)
				}
			}
		}
	}
}

func TestEveryPartyIsTheFirstAtTimes(t *testing.T) {
	t.Parallel()
	var order strings.Builder
	named := func(label string) party {
		return party{label, func(context.Context) error { order.WriteString(label); return nil }}
	}
	medians, err := takeTurns(t.Context(), []party{named("a"), named("b")}, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	if got := order.String(); got != "ab"+"abba"+"baab" {
		t.Error(got)
	}
	if len(medians) != 2 || len(medians[0]) != 2 || len(medians[1]) != 2 {
		t.Error(medians)
	}
	broken := errors.New("broken")
	_, err = takeTurns(t.Context(), []party{{"a", func(context.Context) error { return broken }}}, 1, 1)
	if !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestFigures(t *testing.T) {
	t.Parallel()
	f := figure{Below: true, Goal: bound(1.2)}
	f.ratio([]float64{1, 4, 3}, []float64{1, 2, 2})
	f.judge()
	if f.Value != 1.5 || f.Low != 1 || f.High != 2 || f.Verdict != report.Missed {
		t.Errorf("%+v", f)
	}
	if got := f.text(); got != "1.50 (1.00 to 2.00)" {
		t.Error(got)
	}
	for _, c := range []struct {
		below       bool
		goal, value float64
		want        report.Verdict
	}{
		{true, 1.2, 1.2, report.Reached},
		{true, 1.2, 1.21, report.Missed},
		{false, 0.7, 0.7, report.Reached},
		{false, 0.7, 0.69, report.Missed},
	} {
		f := figure{Below: c.below, Goal: bound(c.goal), Value: c.value}
		if f.judge(); f.Verdict != c.want {
			t.Errorf("%+v: %s", c, f.Verdict)
		}
	}
	f.Parties = []measured{{Rounds: []float64{1}}, {Rounds: []float64{9, 4, 5}}, {Rounds: []float64{4, 6, 3}}, {Loose: true, Rounds: []float64{2}}}
	if strict, loose := f.best(false), f.best(true); strict != 2 || loose != 3 {
		t.Error(strict, loose)
	}
	if f.Parties = f.Parties[:1]; f.best(true) != 0 {
		t.Error("there is a best of none")
	}
}

func TestPlansAreFoundInTheLog(t *testing.T) {
	t.Parallel()
	log := "@large@ LOG:  duration: 1.5 ms  plan:\n\tQuery Text: SELECT 1\n\t  AS one\n\tResult  (actual time=0.1)\n" +
		"@small@ LOG:  duration: 2.5 ms  plan:\n\tQuery Text: SELECT 2\n" +
		"@large@ LOG:  duration: 3.5 ms  plan:\n\tQuery Text: -- name: TakeMinutes :many\n\tDelete\n" +
		"@large@ ERROR:  no plan:\n\tof course\n@@ LOG:  parameter changed\n@large@ LOG:  duration: 4.5 ms  plan:\n\tQuery Text: SELECT 3\n"
	want := []string{
		"duration: 1.5 ms  plan:\nQuery Text: SELECT 1\n  AS one\nResult  (actual time=0.1)\n",
		"duration: 4.5 ms  plan:\nQuery Text: SELECT 3\n",
	}
	if got := plansIn([]byte(log), large); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	text := explained([]explanation{{"one", want}, {"none", nil}})
	if !strings.Contains(text, "### one\n\nduration: 1.5 ms") || !strings.Contains(text, "### none\n\nNo statement") {
		t.Error(text)
	}
}

func TestADigestIsThatOfTheEvents(t *testing.T) {
	t.Parallel()
	of := func(text string) digest {
		var d digest
		if err := d.read(strings.NewReader(text), func(line []byte) []byte { return line }); err != nil {
			t.Fatal(err)
		}
		return d
	}
	const a, b = `{"user_id":1,"payload":{"x":1.10,"y":[2]}}` + "\n", `{"user_id":2,"payload":null}` + "\n"
	same := `{"user_id":2}` + "\n" + `{"payload": {"y": [2], "x": 1.10}, "user_id": 1}` + "\n"
	if of(a+b) != of(same) {
		t.Error("the same events have two digests")
	}
	for _, other := range []string{a, a + a, a + b + b, strings.Replace(a+b, "1.10", `"1.10"`, 1), strings.Replace(a+b, `"user_id":2`, `"user_id":3`, 1)} {
		if of(other) == of(a+b) {
			t.Errorf("other events have the same digest: %s", other)
		}
	}
	var d digest
	if d.read(strings.NewReader("{\"user_id\":1\n"), func(line []byte) []byte { return line }) == nil {
		t.Error("half a line was taken")
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	var o options
	args := strings.Fields("--quick --count 70000 --stores sqlite --data /some/where --end 2026-11-23T00:00:00Z")
	line, err := program(&o).Parse(args, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if o.Count != 70_000 || o.Small != 5000 || !slices.Equal(o.stores(), []string{sqlite}) || o.End.Unix() != 1795392000 || o.Data != "/some/where" {
		t.Errorf("%+v", o)
	}
	if strings.Contains(line, "some") || !strings.Contains(line, "--count=70000") || !strings.Contains(o.JSON, "results") || !strings.Contains(o.Markdown, "results") {
		t.Errorf("%q, %+v", line, o)
	}
	for _, args := range [][]string{
		{"--count=0"}, {"--rounds=-1"}, {"--end=soon"}, {"--stores=mysql"}, {"--stores=sqlite,sqlite"}, {"--keep"}, {"more"}, {"--nonsense"},
	} {
		if _, err := program(&options{}).Parse(args, io.Discard); err == nil {
			t.Errorf("%v were taken", args)
		}
	}
}

func TestADirectoryIsUsedAgainForTheSameEvents(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	open := func(o options) (*workspace, error) {
		o.Data, o.Keep = dir, true
		w := &workspace{options: &o, work: t.TempDir()}
		return w, w.openDir()
	}
	first, err := open(options{Seed: 1, Count: 10, Small: 2})
	if err != nil || !first.ours {
		t.Fatal(err)
	}
	first.stamp.Loaded = []string{sqlite}
	if err := first.writeStamp(); err != nil {
		t.Fatal(err)
	}
	second, err := open(options{Seed: 1, Count: 10, Small: 2})
	if err != nil || second.ours || !reflect.DeepEqual(second.stamp, first.stamp) {
		t.Fatalf("%v, %+v", err, second)
	}
	second.options.Keep = false
	if err := second.close(); err != nil {
		t.Fatal(err)
	}
	for _, o := range []options{
		{Seed: 2, Count: 10, Small: 2},
		{Seed: 1, Count: 11, Small: 2},
		{Seed: 1, Count: 10, Small: 3},
		{Seed: 1, Count: 10, Small: 2, End: time.Unix(5, 0)},
		{Seed: 1, Count: 10, Small: 2, Users: 7},
	} {
		if _, err := open(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	if err := os.Remove(filepath.Join(dir, stampFile)); err != nil {
		t.Fatal("what was there before was deleted:", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(options{Seed: 1, Count: 10, Small: 2}); err == nil {
		t.Error("a directory with other files was taken")
	}
}

func sample() *document {
	d := &document{Meaningful: true, Command: "go run ./queries", Commit: "0123456789abcdef", Compared: 7, Settings: settings{Stores: []string{postgres, sqlite}}}
	for _, store := range d.Settings.Stores {
		f := figure{
			Name: "count / hand-written", Store: store, Below: true, Goal: bound(1.2), Against: "good",
			Parties: []measured{
				{Label: "the product", Rounds: []float64{2, 4, 6}},
				{Label: "good", SQL: "SELECT 1", Rounds: []float64{2, 3, 6}},
				{Label: "quick", Loose: true, SQL: "SELECT 2", Rounds: []float64{1, 1, 1}},
			},
		}
		f.ratio(f.Parties[0].Rounds, f.Parties[1].Rounds)
		f.judge()
		d.Figures = append(d.Figures, f)
	}
	d.Figures[1].Value = 2
	d.Figures[1].judge()
	d.Figures = append(d.Figures, figure{Name: "memory", Store: sqlite, Unit: "MiB", Value: 80.04, Low: 80.04, High: 80.04})
	return d
}

func TestThePage(t *testing.T) {
	t.Parallel()
	text := sample().markdown("test/results/queries.json")
	for _, want := range []string{
		"|  | goal | PostgreSQL | reached | SQLite | reached |\n| --- | ---: | ---: | ---: | ---: | ---: |\n",
		"| count / hand-written | ≤ 1.20 | 1.00 (1.00 to 1.33) | yes | 2.00 (1.00 to 1.33) | **no** |\n",
		"| memory |  |  |  | 80.0 MiB |  |\n",
		"| count / hand-written | PostgreSQL | quick `loose` | 1.00 | 1.00 to 1.00 |\n",
		"**7 results were compared**", "`0123456789ab`", "`test/results/queries.json`", "```sql\nSELECT 1\n```",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it doesn't have %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "mean nothing") || strings.Contains(text, "SELECT 2") {
		t.Error(text)
	}
	quick := sample()
	quick.Meaningful = false
	if !strings.Contains(quick.markdown(""), "mean nothing") || !strings.Contains(quick.summary(), "MEAN NOTHING") {
		t.Error("a quick run looks like a real one")
	}
}
