package generator

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept in microseconds, to three digits, up to two minutes.
const (
	shortest = 1
	longest  = int64(2 * time.Minute / time.Microsecond)
	digits   = 3
	// maxRecorders bounds the memory of the histograms: connections share them, few
	// to each, so that they hardly ever wait for one another.
	maxRecorders = 32
)

// What a request that got no status counts as.
const (
	StatusNone = "no answer" // the connection broke, or the answer made no sense
	StatusLate = "not sent"  // an open loop had no connection for it in time
	StatusDial = "no connection"
)

// recorder takes the answers of some connections.
type recorder struct {
	mu       sync.Mutex
	statuses [600]int64
	others   map[string]int64
	stored   int64 // events answered 202 within what is measured
	requests int64 // answered within what is measured
	all      *hdrhistogram.Histogram
	refusals *hdrhistogram.Histogram // 429 and 503, from when they were sent
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(shortest, longest, digits) }

func newRecorders(n int) []*recorder {
	all := make([]*recorder, n)
	for i := range all {
		all[i] = &recorder{others: map[string]int64{}, all: newHistogram(), refusals: newHistogram()}
	}
	return all
}

// record takes an answer and its latency in nanoseconds. counts says that the
// request belongs to what is measured; within, that its answer came meanwhile, and
// not before or in the time that answers get after that.
func (r *recorder) record(a answer, nanoseconds int64, counts, within bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if within && a.sent {
		r.requests++
		r.stored += int64(a.stored)
	}
	// A refusal that came meanwhile counts, also of a request that was due long before:
	// a server that takes its time to say no would else be sent nothing that counts.
	if (within || counts) && (a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable) {
		_ = r.refusals.RecordValue(min(max(a.took/1000, shortest), longest))
	}
	if !counts {
		return
	}
	micros := min(max(nanoseconds/1000, shortest), longest)
	_ = r.all.RecordValue(micros) // in range
	switch {
	case a.late:
		r.others[StatusLate]++
	case !a.sent:
		r.others[StatusDial]++
	case a.status < 100 || a.status >= len(r.statuses):
		r.others[StatusNone]++
	default:
		r.statuses[a.status]++
	}
}

// Result is what a load measured.
type Result struct {
	Elapsed time.Duration
	// Requests and Stored are the requests answered and the events answered with
	// 202 while it was measured.
	Requests int64
	Stored   int64
	// Statuses counts every request that belongs to what was measured, also those
	// answered later: of a closed loop all that were under way meanwhile, of an
	// open one all that became due.
	Statuses map[string]int64
	Latency  *hdrhistogram.Histogram // of all, in microseconds
	Refusals *hdrhistogram.Histogram // of 429 and 503, counted from when they were sent: how soon the server says no
}

func merge(recorders []*recorder, elapsed time.Duration) Result {
	result := Result{Elapsed: elapsed, Statuses: map[string]int64{}, Latency: newHistogram(), Refusals: newHistogram()}
	for _, r := range recorders {
		r.mu.Lock()
		result.Requests += r.requests
		result.Stored += r.stored
		for status, n := range r.statuses {
			if n > 0 {
				result.Statuses[strconv.Itoa(status)] += n
			}
		}
		for what, n := range r.others {
			result.Statuses[what] += n
		}
		result.Latency.Merge(r.all)
		result.Refusals.Merge(r.refusals)
		r.mu.Unlock()
	}
	return result
}

// StoredPerSecond is the throughput.
func (r *Result) StoredPerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Stored) / r.Elapsed.Seconds()
}

// Tally collects what a loop stores that isn't an HTTP client. It is safe for
// concurrent use.
type Tally struct{ recorder *recorder }

// NewTally returns an empty one.
func NewTally() *Tally { return &Tally{recorder: newRecorders(1)[0]} }

// Add takes a statement that stored some events.
func (t *Tally) Add(events int, latency time.Duration) {
	t.recorder.record(answer{sent: true, status: http.StatusAccepted, stored: events}, int64(latency), true, true)
}

// Result returns what was collected within a time. Statements count as 202.
func (t *Tally) Result(elapsed time.Duration) Result {
	return merge([]*recorder{t.recorder}, elapsed)
}
