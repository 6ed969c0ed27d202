package main

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
)

func made(t *testing.T, args ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := run(append([]string{"-count", "20000", "-end", "2026-11-23T00:00:00Z"}, args...), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestTheSameSeedMakesTheSameEvents(t *testing.T) {
	t.Parallel()
	if !bytes.Equal(made(t), made(t)) {
		t.Error("the same seed made other events")
	}
	if bytes.Equal(made(t), made(t, "-seed", "2")) {
		t.Error("another seed made the same events")
	}
}

func TestEventsAreSkewedAndDifferent(t *testing.T) {
	t.Parallel()
	types, users, ids := map[string]int{}, map[int64]int{}, map[string]bool{}
	for line := range bytes.Lines(made(t)) {
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
		if len(e.ID) != 36 || e.User < 1 || e.At > 1795392000 || e.At < 1795392000-91*86_400 || e.Payload == nil {
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

func TestBadOptions(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-count", "0"}, {"-end", "soon"}, {"-nonsense"}} {
		if err := run(args, io.Discard, io.Discard); err == nil {
			t.Errorf("%v were taken", args)
		}
	}
}
