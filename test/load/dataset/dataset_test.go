package dataset

import (
	"bufio"
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

var end = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

func generated(t *testing.T, count int, seed uint64) []byte {
	t.Helper()
	c := Config{Count: count, Users: 200_000, Types: 50, Days: 90, Seed: seed, End: end}
	var out bytes.Buffer
	last := 0
	if err := c.Write(bufio.NewWriter(&out), func(written int) { last = written }); err != nil || last != c.Count {
		t.Fatal(last, err)
	}
	return out.Bytes()
}

func TestTheSameSeedMakesTheSameEvents(t *testing.T) {
	t.Parallel()
	if !bytes.Equal(generated(t, 2000, 1), generated(t, 2000, 1)) {
		t.Error("the same seed made other events")
	}
	if bytes.Equal(generated(t, 2000, 1), generated(t, 2000, 2)) {
		t.Error("another seed made the same events")
	}
}

func TestEventsAreSkewedAndDifferent(t *testing.T) {
	t.Parallel()
	types, users, ids := map[string]int{}, map[int64]int{}, map[string]bool{}
	for line := range bytes.Lines(generated(t, 20_000, 1)) {
		var e struct {
			User    int64          `json:"user_id"`
			Type    string         `json:"event_type"`
			At      int64          `json:"timestamp"`
			ID      string         `json:"event_id"`
			Payload map[string]any `json:"payload"`
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if len(e.ID) != 36 || e.User < 1 || e.At > end.Unix() || e.At < end.Unix()-91*86_400 || e.Payload == nil {
			t.Fatalf("%s", line)
		}
		types[e.Type]++
		users[e.User]++
		ids[e.ID] = true
	}
	if len(ids) != 20_000 || len(types) != 50 {
		t.Errorf("%d ids, %d types", len(ids), len(types))
	}
	if share := float64(types["type01"]) / 20_000; share < 0.05 || share > 0.07 {
		t.Errorf("type01 has a share of %.3f", share)
	}
	if len(users) < 5_000 || users[1] < 20 {
		t.Errorf("%d users, the busiest has %d", len(users), users[1])
	}
}
