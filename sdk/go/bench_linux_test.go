package analytics

import (
	"context"
	"encoding/json"
	"io"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// BenchmarkTrackCPU is the processor time that Track takes of its caller's thread, the payload's encoding
// taken off. Unlike BenchmarkTrack it means something on a machine that is busy with other things.
func BenchmarkTrackCPU(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := newSink(b)
	ctx := context.Background()
	encode := json.NewEncoder(io.Discard)
	began := threadTime(b)
	for range b.N {
		if err := encode.Encode(aPurchase); err != nil {
			b.Fatal(err)
		}
	}
	payload := threadTime(b) - began
	began = threadTime(b)
	b.ResetTimer()
	for range b.N {
		if err := c.Track(ctx, Event{UserID: 42, Type: "purchase", Payload: aPurchase}); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	track := threadTime(b) - began
	b.ReportMetric(float64((track-payload).Nanoseconds())/float64(b.N), "cpu-ns-beyond-payload/op")
}

// threadTime is the processor time that the calling thread has used.
func threadTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
