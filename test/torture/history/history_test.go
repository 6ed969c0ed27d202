package history_test

import (
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"highload.example/analytics/test/torture/history"
)

func TestWhatIsRecordedIsRead(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "history.ndjson")
	recorder, err := history.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	const clients, each = 8, 500
	operation := func(client, n int) history.Operation {
		return history.Operation{
			Client: client, Kind: history.Send, Start: int64(n), End: recorder.Now(), Target: "http://a", Status: 202,
			Events: []history.Event{{
				UserID: 1, Type: "a", Timestamp: 1, ID: "x", Valid: true,
				Payload: json.RawMessage(`{"n":9007199254740993,"d":0.1000,"h":"<&>"}`),
			}},
			Outcomes: []history.Outcome{history.Accepted}, Counts: []int64{0, 1},
		}
	}
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for n := range each {
				recorder.Record(operation(client, n))
			}
		})
	}
	wg.Wait()
	if n := recorder.Recorded(); n != clients*each {
		t.Errorf("%d operations were recorded, not %d", n, clients*each)
	}
	if err := recorder.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a history can be walked again
		next := [clients]int{}
		for got, err := range history.Open(name) {
			if err != nil {
				t.Fatal(err)
			}
			want := operation(got.Client, next[got.Client])
			want.End = got.End
			// encoding/json escapes what HTML gives a meaning: equal in value.
			got.Events[0].Payload = json.RawMessage(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(got.Events[0].Payload)))
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("read %+v\nrecorded %+v", got, want)
			}
			next[got.Client]++
		}
		for client, n := range next {
			if n != each {
				t.Errorf("client %d has %d operations, not %d", client, n, each)
			}
		}
	}
}

func TestATornHistoryIsAnError(t *testing.T) {
	t.Parallel()
	var errs, read int
	for _, err := range history.Read(strings.NewReader("{\"client\":1}\n{\"client\":2")) {
		if err != nil {
			errs++
		} else {
			read++
		}
	}
	if errs != 1 || read != 1 {
		t.Errorf("%d operations and %d errors, not one of each", read, errs)
	}
	for _, err := range history.Open(filepath.Join(t.TempDir(), "missing")) {
		if err == nil {
			t.Error("a history that isn't there was read")
		}
	}
}

// fullDisk fails every write.
type fullDisk struct{}

var errFull = errors.New("no space left")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }
func (fullDisk) Close() error              { return nil }

func TestALostRecordIsAnError(t *testing.T) {
	t.Parallel()
	recorder := history.NewRecorder(fullDisk{})
	recorder.Record(history.Operation{})
	if err := recorder.Close(); !errors.Is(err, errFull) {
		t.Errorf("Close returned %v", err)
	}
	recorder = history.NewRecorder(fullDisk{})
	recorder.Record(history.Operation{Events: []history.Event{{Payload: json.RawMessage("{")}}})
	if err := recorder.Close(); err == nil {
		t.Error("an operation that can't be written was lost in silence")
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	at := func(text string) int64 {
		parsed, err := time.Parse(time.DateTime, text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed.Unix()
	}
	for name, c := range map[string]struct {
		question history.Operation
		want     []int64
	}{
		"everything": {history.Operation{Kind: history.Count}, []int64{math.MinInt64, math.MaxInt64}},
		"a range":    {history.Operation{Kind: history.Count, From: 10, To: 200}, []int64{10, 200}},
		"cut minutes": {
			history.Operation{Kind: history.Series, Interval: "minute", From: 30, To: 130},
			[]int64{30, 60, 120, 130},
		},
		"whole hours": {
			history.Operation{Kind: history.Series, Interval: "hour", From: 3600, To: 3 * 3600},
			[]int64{3600, 2 * 3600, 3 * 3600},
		},
		"days over a leap day": {
			history.Operation{Kind: history.Series, Interval: "day", From: at("2024-02-28 12:00:00"), To: at("2024-03-01 12:00:00")},
			[]int64{at("2024-02-28 12:00:00"), at("2024-02-29 00:00:00"), at("2024-03-01 00:00:00"), at("2024-03-01 12:00:00")},
		},
		"weeks begin on Monday": {
			history.Operation{Kind: history.Series, Interval: "week", From: at("2024-01-07 12:00:00"), To: at("2024-01-15 00:00:01")},
			[]int64{at("2024-01-07 12:00:00"), at("2024-01-08 00:00:00"), at("2024-01-15 00:00:00"), at("2024-01-15 00:00:01")},
		},
		"months over a year's end": {
			history.Operation{Kind: history.Series, Interval: "month", From: at("2023-12-01 00:00:00"), To: at("2024-02-01 00:00:00")},
			[]int64{at("2023-12-01 00:00:00"), at("2024-01-01 00:00:00"), at("2024-02-01 00:00:00")},
		},
	} {
		if got := c.question.Bounds(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, not %v", name, got, c.want)
		}
	}
}
