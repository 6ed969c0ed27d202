package generator

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var base = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newTestSource(t *testing.T, seed uint64, run uint16) *Source {
	t.Helper()
	s, err := NewSource(Config{Seed: seed, Run: run, Users: 200_000, Spread: time.Hour, Base: base})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAnIDLeadsBackToItsNumber(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		config := Config{
			Seed: rapid.Uint64().Draw(r, "seed"), Run: rapid.Uint16().Draw(r, "run"),
			Users: 10, Spread: time.Hour, Base: base,
		}
		s, err := NewSource(config)
		if err != nil {
			r.Fatal(err)
		}
		number := rapid.Uint64Range(0, MaxNumber).Draw(r, "number")
		id := s.ID(number)
		if id[6]>>4 != 7 || id[8]>>6 != 0b10 {
			r.Fatalf("%s is no UUIDv7", id)
		}
		if got, ours := s.Number(id); !ours || got != number {
			r.Fatalf("%s of %d leads to %d, %t", id, number, got, ours)
		}
		// With one bit changed it is no id of this run.
		bit := rapid.IntRange(0, 127).Draw(r, "bit")
		id[bit/8] ^= 1 << (bit % 8)
		if got, ours := s.Number(id); ours {
			r.Fatalf("%s is taken for the id of %d", id, got)
		}
		config.Run++
		other, err := NewSource(config)
		if err != nil {
			r.Fatal(err)
		}
		if _, ours := s.Number(other.ID(number)); ours {
			r.Fatal("another run's id is taken for ours")
		}
	})
}

func TestEventsAreWhatTheContractAllows(t *testing.T) {
	t.Parallel()
	s := newTestSource(t, 1, 1)
	var buffer []byte
	counts := map[string]int{}
	const events = 20_000
	for number := range uint64(events) {
		e := s.Event(number)
		buffer = e.AppendJSON(buffer[:0])
		var got struct {
			UserID    int64          `json:"user_id"`
			EventType string         `json:"event_type"`
			Timestamp int64          `json:"timestamp"`
			EventID   string         `json:"event_id"`
			Payload   map[string]any `json:"payload"`
		}
		if err := json.Unmarshal(buffer, &got); err != nil {
			t.Fatalf("%s: %v", buffer, err)
		}
		if got.UserID < 1 || got.UserID > 200_000 || got.Timestamp > base.Unix()+1 || got.Timestamp <= base.Unix()-3600 || len(got.Payload) != 3 {
			t.Fatalf("%s", buffer)
		}
		if got.UserID != e.UserID || got.EventType != e.Type || got.Timestamp != e.OccurredAt || got.EventID != e.ID.String() {
			t.Fatalf("%s is not %+v", buffer, e)
		}
		if len(buffer) < 150 || len(buffer) > 200 {
			t.Fatalf("%d bytes: %s", len(buffer), buffer)
		}
		counts[e.Type]++
	}
	if len(s.Types()) != 50 || len(counts) != 50 {
		t.Errorf("%d types of %d", len(counts), len(s.Types()))
	}
	// 1/k over the sum of all: 22 % for the first, 0.4 % for the last.
	first, last := counts[s.Types()[0]], counts[s.Types()[49]]
	if first < events*20/100 || first > events*25/100 || last > events/100 {
		t.Errorf("the first type %d times, the last %d times", first, last)
	}
}

func TestAnEventAllocatesNothing(t *testing.T) {
	s := newTestSource(t, 1, 1)
	buffer := make([]byte, 0, 512)
	number := uint64(0)
	if n := testing.AllocsPerRun(100, func() {
		e := s.Event(number)
		buffer = e.AppendJSON(buffer[:0])
		number++
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestASourceNeedsUsersAndTime(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{{Users: 0, Spread: time.Hour}, {Users: 1, Spread: time.Millisecond}} {
		if _, err := NewSource(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
