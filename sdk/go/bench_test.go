package analytics

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"
)

// purchase is a payload as applications have them.
type purchase struct {
	Item     string  `json:"item"`
	Price    float64 `json:"price"`
	Currency string  `json:"currency"`
	Quantity int     `json:"quantity"`
}

var aPurchase = &purchase{Item: "book", Price: 12.5, Currency: "EUR", Quantity: 1}

// newSink returns a client whose server takes everything at once and whose queue is never full.
func newSink(t testing.TB) *Client {
	t.Helper()
	c, err := New(Options{
		URL: "http://sink.example", MaxQueueEvents: 10_000_000, MaxQueueBytes: 1 << 40, MaxBatchEvents: 5000, MaxBatchBytes: maxBatchBytes,
		FlushInterval: time.Hour, NoGzip: true, Logger: slog.New(slog.DiscardHandler),
		HTTPClient: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			return received(countLines(body)).response(), nil
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// BenchmarkTrack is what Track costs its caller, the sender's work beside it included.
func BenchmarkTrack(b *testing.B) {
	c := newSink(b)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Track(ctx, Event{UserID: 42, Type: "purchase", Payload: aPurchase}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTrackParallel is the same from many goroutines.
func BenchmarkTrackParallel(b *testing.B) {
	c := newSink(b)
	ctx := context.Background()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := c.Track(ctx, Event{UserID: 42, Type: "purchase", Payload: aPurchase}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkPayload is what encoding the payload alone costs: to be taken off BenchmarkTrack.
func BenchmarkPayload(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(aPurchase); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTrackOnDisk has a write to a file in it.
func BenchmarkTrackOnDisk(b *testing.B) {
	c, err := New(Options{
		URL: "http://sink.example", MaxQueueEvents: 10_000_000, MaxQueueBytes: 1 << 40, MaxBatchEvents: 5000, MaxBatchBytes: maxBatchBytes,
		FlushInterval: time.Hour, NoGzip: true, Logger: slog.New(slog.DiscardHandler), QueueDir: b.TempDir(),
		HTTPClient: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			return received(countLines(body)).response(), nil
		})},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Track(ctx, Event{UserID: 42, Type: "purchase", Payload: aPurchase}); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.Close(ctx); err != nil {
		b.Fatal(err)
	}
}
