package analytics

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type panicky struct{}

func (panicky) MarshalJSON() ([]byte, error) { panic("no") }

func TestEventsAsJSON(t *testing.T) {
	t.Parallel()
	const id = "01890a5d-ac96-774b-bcce-b302099a8057"
	at := time.Date(2023, 7, 22, 4, 26, 40, 999, time.FixedZone("", 3600))
	const head = `{"event_id":"` + id + `","user_id":42,"event_type":"view","timestamp":1689996400`
	var nilMap map[string]any
	type plan struct {
		Name string `json:"name,omitempty"`
	}
	for name, test := range map[string]struct {
		event Event
		want  string
	}{
		"no payload":      {Event{UserID: 42, Type: "view"}, head + `}`},
		"a nil map":       {Event{UserID: 42, Type: "view", Payload: nilMap}, head + `}`},
		"a nil pointer":   {Event{UserID: 42, Type: "view", Payload: (*plan)(nil)}, head + `}`},
		"null":            {Event{UserID: 42, Type: "view", Payload: json.RawMessage("null")}, head + `}`},
		"an empty object": {Event{UserID: 42, Type: "view", Payload: plan{}}, head + `,"payload":{}}`},
		"a struct":        {Event{UserID: 42, Type: "view", Payload: &plan{"pro"}}, head + `,"payload":{"name":"pro"}}`},
		"raw JSON":        {Event{UserID: 42, Type: "view", Payload: json.RawMessage("{ \"n\":\n 0.1000 }")}, head + `,"payload":{"n":0.1000}}`},
		"no HTML":         {Event{UserID: 42, Type: "view", Payload: map[string]any{"a": "<&>"}}, head + `,"payload":{"a":"<&>"}}`},
		"line separators": {Event{UserID: 42, Type: "view", Payload: map[string]any{"a": "\n\u2028"}}, head + `,"payload":{"a":"\n\u2028"}}`},
		"what the server refuses": {
			Event{UserID: -1, Type: "\"\n\\", ID: "é"}, // it says why
			`{"event_id":"é","user_id":-1,"event_type":"\"\n\\","timestamp":1689996400}`,
		},
	} {
		test.event.Time = at
		if test.event.ID == "" {
			test.event.ID = id
		}
		it, err := newItem(&test.event, time.Now())
		if err != nil || string(it.line) != test.want {
			t.Errorf("%s: %s, %v; want %s", name, it.line, err, test.want)
			continue
		}
		// What a callback and the next process are told is the same.
		record, err := parseRecord(it.line)
		if err != nil || record.ID != it.record().ID || record.Time != it.record().Time || record.Type != test.event.Type ||
			!bytes.Equal(record.Payload, it.record().Payload) {
			t.Errorf("%s: %+v and %+v, %v", name, record, it.record(), err)
		}
		again, err := parseItem(it.line)
		if err != nil || again.record().Cursor() != record.Cursor() || !bytes.Equal(again.record().Payload, record.Payload) {
			t.Errorf("%s: from disk: %+v, %v", name, again.record(), err)
		}
	}
}

func TestEventsThatCantBeSent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		event Event
		want  error
	}{
		"a number":        {Event{Payload: 1}, ErrPayload},
		"a list":          {Event{Payload: []int{1}}, ErrPayload},
		"text":            {Event{Payload: "{}"}, ErrPayload},
		"not a number":    {Event{Payload: map[string]any{"a": math.NaN()}}, ErrPayload},
		"a channel":       {Event{Payload: map[string]any{"a": make(chan int)}}, ErrPayload},
		"broken raw JSON": {Event{Payload: json.RawMessage(`{"a":`)}, ErrPayload},
		"a panic":         {Event{Payload: panicky{}}, ErrPayload},
		"large payload":   {Event{Payload: map[string]any{"a": strings.Repeat("x", maxPayloadBytes)}}, ErrTooLarge},
		"large event":     {Event{Type: strings.Repeat("x", maxEventBytes)}, ErrTooLarge},
	} {
		if _, err := newItem(&test.event, time.Now()); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	// The largest that is allowed, to the byte.
	const frame = len(`{"a":""}`)
	if _, err := newItem(&Event{Payload: map[string]any{"a": strings.Repeat("x", maxPayloadBytes-frame)}}, time.Now()); err != nil {
		t.Errorf("64 KiB: %v", err)
	}
}

func TestIDsGrow(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	synctest.Test(t, func(t *testing.T) { // where time stands still
		var source idSource
		var mu sync.Mutex
		var all []string
		var goroutines sync.WaitGroup
		for range 8 {
			goroutines.Go(func() {
				var own []string
				for range 2000 {
					own = append(own, string(source.append(nil, time.Now())))
				}
				if !slices.IsSorted(own) {
					t.Error("ids of one goroutine don't grow")
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, own...)
			})
		}
		goroutines.Wait()
		slices.Sort(all)
		if n := len(slices.Compact(slices.Clone(all))); n != 8*2000 {
			t.Errorf("%d ids of %d are different", n, 8*2000)
		}
		for _, id := range all {
			if !form.MatchString(id) {
				t.Fatalf("%s is not a UUID of version 7", id)
			}
		}
		// 16,000 ids in no time are 4 ms ahead of the clock at most.
		ms, err := strconv.ParseInt(all[0][:8]+all[0][9:13], 16, 64)
		if err != nil || ms != time.Now().UnixMilli() {
			t.Errorf("%s is of %d, now is %d", all[0], ms, time.Now().UnixMilli())
		}
		if earlier := string(source.append(nil, time.Now().Add(-time.Hour))); earlier <= all[len(all)-1] {
			t.Error("an id is smaller after the clock was put back")
		}
	})
}
