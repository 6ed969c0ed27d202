package query_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/query"
	"highload.example/analytics/impl/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// Answers are held against a model in backendtest; here is what stands alone.

func TestNumbersHaveOneForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]query.Number{
		"0": "0", "-0": "0", "-0.00": "0", "0e5": "0", "1": "1", "1.0": "1", "10e-1": "1", "1E+2": "100", "-1.50": "-1.5", "0.00010": "0.0001", "1e-7": "0.0000001",
		"9007199254740993": "9007199254740993", "123456789012345678901234567890.50": "123456789012345678901234567890.5", "-12e3": "-12000",
	} {
		if got, err := query.ParseNumber(text); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"1e309", "1e-310", "1e99999999999", strings.Repeat("1", 1025)} {
		if got, err := query.ParseNumber(text); err == nil {
			t.Errorf("%.20s is %s", text, got)
		}
	}
}

func TestNumbersAreOrdered(t *testing.T) {
	t.Parallel()
	ordered := []query.Number{"-100", "-12.5", "-12.25", "-1", "-0.5", "0", "0.0001", "0.5", "0.51", "1", "9", "10", "10.1", "9007199254740992", "9007199254740993"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := a.Compare(b); got != max(-1, min(1, i-j)) {
				t.Errorf("%s and %s: %d", a, b, got)
			}
		}
	}
}

func TestFieldsAreReadAndWritten(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"event_type", "user_id", "payload.plan", "payload.a.b[0][12].c", `payload["a.b"].c`, `payload["\"[]\\"]`, "payload.0", "payload[0]", "payload.ä ö"} {
		f, err := query.ParseField(text)
		if err != nil || f.String() != text {
			t.Errorf("%s became %q, %v", text, f.String(), err)
		}
	}
	for _, text := range []string{
		"", "payload", "payloads", "user", "payload.", "payload..a", "payload[01]", "payload[-1]", "payload[9999999]", `payload["a]`, `payload["a"`, `payload[""]`,
		`payload["\x"]`, "payload.a\x00", `payload["\u0000"]`, `payload["\ud800"]`, "payload.a]", "payload.\xff", "payload" + strings.Repeat(".a", 33),
	} {
		if f, err := query.ParseField(text); err == nil {
			t.Errorf("%q was read as %s", text, f)
		} else if err.Error() == "" {
			t.Errorf("%q: no reason", text)
		}
	}
}

// FuzzField: what can be read can be written and read again, and nothing panics.
func FuzzField(f *testing.F) {
	for _, text := range []string{"payload.plan", `payload["a.b"][0]`, "event_type", `payload["\u00e4"]`, "payload[", `payload["`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		field, err := query.ParseField(text)
		if err != nil {
			return
		}
		again, err := query.ParseField(field.String())
		if err != nil || !slices.Equal(again.Path, field.Path) || again.Kind != field.Kind {
			t.Errorf("%q became %q, %v", text, field.String(), err)
		}
	})
}

func TestCursors(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := event.Key{UserID: rapid.Int64Min(1).Draw(t, "user"), OccurredAt: rapid.Int64Range(0, 1<<37).Draw(t, "at")}
		copy(k.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		if got, ok := query.ParseCursor(query.FormatCursor(k)); !ok || got != k {
			t.Fatalf("%v became %v", k, got)
		}
	})
	for _, text := range []string{"", "1", "1_2_3", "1_00000000-0000-7000-8000-000000000001", "x_00000000-0000-7000-8000-000000000001_1", "1_00000000-0000-7000-8000-00000000000G_1"} {
		if k, ok := query.ParseCursor(text); ok {
			t.Errorf("%q was read as %v", text, k)
		}
	}
}

// TestBuckets shows what zones do to days and hours; the model finds out by itself.
func TestBuckets(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		zone, from string
		interval   query.Interval
		lengths    []int64 // in minutes, of the buckets from that on
	}{
		"a day of 23 hours":                {"Europe/Berlin", "2024-03-30T23:00:00Z", query.Day, []int64{23 * 60, 24 * 60}},
		"a day of 25 hours":                {"Europe/Berlin", "2024-10-26T22:00:00Z", query.Day, []int64{25 * 60, 24 * 60}},
		"an hour that comes twice":         {"Europe/Berlin", "2024-10-27T00:00:00Z", query.Hour, []int64{60, 60, 60}},
		"back by half an hour":             {"Australia/Lord_Howe", "2024-04-06T14:00:00Z", query.Hour, []int64{60, 30, 60}},
		"on by half an hour":               {"Australia/Lord_Howe", "2024-10-05T14:30:00Z", query.Hour, []int64{60, 30, 60}},
		"5:45 ahead":                       {"Asia/Kathmandu", "2023-12-31T18:15:00Z", query.Day, []int64{24 * 60}},
		"no midnight":                      {"America/Sao_Paulo", "2018-11-04T03:00:00Z", query.Day, []int64{23 * 60, 24 * 60}},
		"back into the day before":         {"America/St_Johns", "2010-11-06T02:30:00Z", query.Day, []int64{24 * 60, 25 * 60}},
		"a day left out":                   {"Pacific/Apia", "2011-12-29T10:00:00Z", query.Day, []int64{24 * 60, 24 * 60}},
		"a week begins on Monday":          {"UTC", "2024-12-30T00:00:00Z", query.Week, []int64{7 * 24 * 60}},
		"February of a leap year":          {"UTC", "2024-02-01T00:00:00Z", query.Month, []int64{29 * 24 * 60, 31 * 24 * 60}},
		"the clock stands still otherwise": {"Africa/Casablanca", "2024-03-10T00:00:00Z", query.Hour, []int64{60, 60, 60, 60}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone, err := query.LoadZone(test.zone)
			if err != nil {
				t.Fatal(err)
			}
			from, err := time.Parse(time.RFC3339, test.from)
			if err != nil {
				t.Fatal(err)
			}
			want := []int64{from.Unix()}
			for _, minutes := range test.lengths {
				want = append(want, want[len(want)-1]+60*minutes)
			}
			b, ok := query.MakeBuckets(want[0], want[len(want)-1], test.interval, zone)
			if got := append(slices.Clone(b.Starts), b.End); !ok || !slices.Equal(got, want) {
				t.Errorf("the bounds are %v, want %v", got, want)
			}
		})
	}
	if _, ok := query.MakeBuckets(0, 2001*60, query.Minute, time.UTC); ok {
		t.Error("2001 buckets were made")
	}
	if b, ok := query.MakeBuckets(0, 2000*60, query.Minute, time.UTC); !ok || len(b.Starts) != 2000 {
		t.Error("2000 buckets were not made")
	}
	for _, name := range []string{"", "Local", "Mars/Olympus", "../UTC", "/etc/localtime"} {
		if zone, err := query.LoadZone(name); err == nil {
			t.Errorf("%q is the zone %v", name, zone)
		}
	}
}

// stuck is a store that answers nobody who asks for events, until it is released.
type stuck struct {
	release chan struct{}
	down    error
	results chan error
}

func (s *stuck) RankedTypes(context.Context, string, *query.TypeCount, int) ([]query.TypeCount, error) {
	return nil, nil
}

func (s *stuck) MinuteCounts(context.Context, []string, []int64, func(string, int, int64)) error {
	return nil
}
func (s *stuck) Count(context.Context, string) (int64, error) { return 0, nil }
func (s *stuck) ReadsAllTypes() bool                          { return false }
func (s *stuck) QuestionAnswered(_ string, _ query.Plan, _ time.Duration, err error) {
	s.results <- err
}

func (s *stuck) Aggregate(ctx context.Context, _ *query.Aggregation) (*query.Table, error) {
	select {
	case <-s.release:
		return &query.Table{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *stuck) ScanSteps(context.Context, *query.StepScan, func(*query.StepEvent) error) error {
	return nil
}
func (s *stuck) List(context.Context, *query.Listing, func(*event.Event) error) error { return nil }

func (s *stuck) service(clock func() time.Time) *query.Service {
	return query.New(query.Config{
		Counter: s, Reader: s, Totals: s, Observer: s, Clock: clock, Probe: func(context.Context) error { return s.down },
		Timeout: 10 * time.Second, Wait: 2 * time.Second, Concurrency: 2,
	})
}

var costly = &query.Question{Metric: query.UniqueUsers, From: 1, To: 2}

func TestQuestionsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stuck{release: make(chan struct{}), results: make(chan error, 10)}
		service := s.service(time.Now)
		for range 3 {
			go func() { _, _, _ = service.Ask(t.Context(), costly) }()
		}
		if err := <-s.results; !errors.Is(err, event.ErrBusy) {
			t.Errorf("the third got %v", err)
		}
		close(s.release)
		for range 2 {
			if err := <-s.results; err != nil {
				t.Error(err)
			}
		}
		if _, _, err := service.Ask(t.Context(), costly); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestQuestionsEndInTime(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ down, want error }{
		"the store works":      {nil, query.ErrTooExpensive},
		"the store is stopped": {event.ErrUnavailable, event.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &stuck{release: make(chan struct{}), results: make(chan error, 10), down: test.down}
				began := time.Now()
				_, _, err := s.service(time.Now).Ask(t.Context(), costly)
				if !errors.Is(err, test.want) || time.Since(began) != 10*time.Second {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
			})
		})
	}
}
