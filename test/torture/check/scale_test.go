package check_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"highload.example/analytics/test/torture/check"
	"highload.example/analytics/test/torture/history"
)

// long is a long history in which everything is right, made as it is read: operation
// i follows operation i-1.
type long struct {
	operations int
	events     int // different ones, after a walk
	reads      int
	counts     int
}

const (
	minutes = 60
	start   = 1690000020 // a minute's
)

func (l *long) event(n int) history.Event {
	e := history.Event{
		UserID: int64(n%1000 + 1), Type: fmt.Sprint("type", n%8), Timestamp: start + int64(n*7919%(minutes*60)),
		ID: fmt.Sprintf("01890a5d-ac96-774b-bcce-%012x", n), Valid: true,
	}
	if n%8 == 0 { // no payload is held: the others would only take time
		e.Payload = json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))
	}
	return e
}

// history yields the operations: of ten, six send two events each, one sends them
// again, and three ask, one of them in a hundred for a series.
func (l *long) history(yield func(history.Operation, error) bool) {
	var perMinute [8][minutes]int64
	l.events, l.reads, l.counts = 0, 0, 0
	for i := range l.operations {
		o := history.Operation{Kind: history.Batch, Start: int64(i) * 1000, End: int64(i)*1000 + 999, Status: 202, Target: "replica"}
		switch {
		case i%10 < 6:
			for range 2 {
				e := l.event(l.events)
				perMinute[l.events%8][(e.Timestamp-start)/60]++
				l.events++
				o.Events = append(o.Events, e)
				o.Outcomes = append(o.Outcomes, history.Accepted)
			}
		case i%10 == 6:
			o.Events = []history.Event{l.event(l.events / 2)}
			o.Outcomes = []history.Outcome{history.Duplicate}
		default:
			o.Kind, o.EventType, o.Outcomes = history.Count, fmt.Sprint("type", i%8), []history.Outcome{history.Answered}
			counts := perMinute[i%8][:]
			if i%100 == 99 {
				o.Kind, o.Interval, o.From, o.To = history.Series, "minute", start, start+60*minutes
				o.Counts = append([]int64(nil), counts...)
			} else {
				o.Counts = []int64{0}
				for _, n := range counts {
					o.Counts[0] += n
				}
			}
			l.reads++
			l.counts += len(o.Counts)
		}
		if !yield(o, nil) {
			return
		}
	}
}

func (l *long) rows() iter.Seq2[history.Row, error] {
	return func(yield func(history.Row, error) bool) {
		for n := range l.events {
			if !yield(row(l.event(n)), nil) {
				return
			}
		}
	}
}

func (l *long) atRest() (all []history.Operation) {
	events := (l.operations/10*6 + min(l.operations%10, 6)) * 2
	for k := range 8 {
		o := asked(0, 0, int64((events-k+7)/8))
		o.EventType = fmt.Sprint("type", k)
		all = append(all, o)
	}
	return all
}

// TestLongHistoryFitsInMemory checks a history, and one that is ten times as long, and
// compares the memory that it takes with what the package's comment promises. The longer
// one has 200,000 operations, or a million when there is time for it. The test isn't
// parallel: others would share the heap.
func TestLongHistoryFitsInMemory(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(10)) // so that little of the heap is garbage
	longest := 200_000
	if os.Getenv(envLong) != "" {
		longest = 1_000_000
	}
	for _, operations := range []int{longest / 10, longest} {
		l := &long{operations: operations}
		runtime.GC()
		before := heap()
		began := time.Now()
		peak := watchHeap(func() {
			report, err := check.Run(check.Input{History: l.history, Rows: l.rows(), AtRest: l.atRest()})
			if err != nil {
				t.Fatal(err)
			}
			if err := report.Err(); err != nil {
				t.Error(err)
			}
			if report.Operations != int64(operations) || report.Rows != int64(l.events) {
				t.Errorf("%d operations and %d rows were checked, of %d and %d", report.Operations, report.Rows, operations, l.events)
			}
		})
		used := peak - before
		promised := int64(l.events)*perEvent + int64(l.reads)*perRead + int64(l.counts)*8
		t.Logf("%d operations, %d events, %d questions with %d counts: %d MB, %.0f bytes an event, in %s",
			operations, l.events, l.reads, l.counts, used>>20, float64(used)/float64(l.events), time.Since(began).Round(time.Millisecond))
		if used > promised+spare {
			t.Errorf("%d operations took %d MB; %d are promised", operations, used>>20, promised>>20)
		}
	}
}

// envLong is set where tests may take minutes: in the nightly run.
const envLong = "ANALYTICS_TEST_LONG"

// What the package's comment says, and the collector's slack.
const (
	perEvent = 160
	perRead  = 150
	spare    = 32 << 20
)

func heap() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// watchHeap returns the most that the heap held while f ran.
func watchHeap(f func()) (peak int64) {
	done, result := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				most = max(most, heap())
			case <-done:
				result <- most
				return
			}
		}
	}()
	f()
	close(done)
	return <-result
}
