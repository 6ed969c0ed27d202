package history_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"highload.example/analytics/torture/internal/history"
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
