//go:build !race

// The race detector allocates, too.

package analytics

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
)

// An event's JSON is the one thing that Track allocates beside what the payload needs.
func TestTrackAllocates(t *testing.T) {
	c := newSink(t)
	ctx := context.Background()
	payload := testing.AllocsPerRun(1000, func() {
		var b bytes.Buffer
		if err := json.NewEncoder(&b).Encode(aPurchase); err != nil {
			t.Error(err)
		}
	})
	track := testing.AllocsPerRun(1000, func() {
		if err := c.Track(ctx, Event{UserID: 42, Type: "purchase", Payload: aPurchase}); err != nil {
			t.Error(err)
		}
	})
	none := testing.AllocsPerRun(1000, func() {
		if err := c.Track(ctx, Event{UserID: 42, Type: "purchase"}); err != nil {
			t.Error(err)
		}
	})
	if none > 2 || track > payload+2 {
		t.Errorf("Track allocates %v times without a payload, %v times with one that takes %v", none, track, payload)
	}
}
