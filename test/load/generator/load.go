package generator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Load is one stretch of sending, with one goroutine for each connection. First
// come WarmUp, which isn't measured, then Duration, which is, and then Tail.
type Load struct {
	Address     string
	Connections int
	Source      *Source
	Ledger      *Ledger

	// Batch is how many events a request carries to POST /events; 0 sends single
	// ones to POST /event.
	Batch int

	// Rate is how many requests per second are due, whether or not the server
	// keeps up (an open loop). Then latency counts from the moment at which a
	// request was due: if no connection was free, the wait counts. 0: every
	// connection sends as soon as it has its answer (a closed loop).
	Rate float64

	WarmUp   time.Duration
	Duration time.Duration
	// Tail is how long a closed loop goes on at most, unmeasured, unless Stop ends
	// it before.
	Tail time.Duration
	// Grace is how long answers may take after the end. In its first half an open
	// loop still sends the requests that are late. Default: 20 s.
	Grace time.Duration

	// OnMeasure and OnEnd are called at the two ends of what is measured, which
	// begins when OnMeasure returns and ends when OnEnd is called. Their errors end
	// the load.
	OnMeasure func() error
	OnEnd     func() error

	begin     time.Time
	from, to  atomic.Int64 // what is measured, in nanoseconds since begin; 0: not yet
	stopped   atomic.Bool
	stop      chan struct{}
	enough    <-chan struct{} // ends what is measured before Duration is over: tests wait for no time
	accepted  atomic.Int64    // the first 202 after AwaitAccepted, in nanoseconds since begin
	awaiting  atomic.Bool
	acceptedC chan struct{}
}

// Prepare must be called once before Stop, AwaitAccepted and Do.
func (l *Load) Prepare() *Load {
	if l.Grace == 0 {
		l.Grace = 20 * time.Second
	}
	l.stop = make(chan struct{})
	l.acceptedC = make(chan struct{})
	l.begin = time.Now()
	return l
}

// Do sends, and returns what was measured. When the context ends, it cuts the
// connections and returns the context's error.
func (l *Load) Do(ctx context.Context) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	recorders := newRecorders(min(l.Connections, maxRecorders))
	workers := make([]*worker, l.Connections)
	for i := range workers {
		workers[i] = newWorker(l, recorders[i%len(recorders)])
		workers[i].client.until(l.begin.Add(l.WarmUp + l.Duration + l.Tail + l.Grace + time.Minute))
	}

	// 1. The clock: it says what is measured and when all ends.
	var clock sync.WaitGroup
	clock.Go(func() {
		if err := l.conduct(ctx); err != nil {
			cancel(err)
		}
		l.stopped.Store(true)
		deadline := time.Now().Add(l.Grace)
		if ctx.Err() != nil {
			deadline = time.Now()
		}
		for _, w := range workers {
			w.client.until(deadline)
		}
	})

	// 2. The work.
	tickets := make(chan int64, l.due())
	if l.Rate > 0 {
		clock.Go(func() { l.pace(ctx, tickets) })
	}
	var work sync.WaitGroup
	for _, w := range workers {
		work.Go(func() {
			defer w.client.close()
			if l.Rate > 0 {
				w.open(ctx, tickets)
			} else {
				w.closed(ctx)
			}
		})
	}
	work.Wait()
	clock.Wait()
	if err := context.Cause(ctx); err != nil {
		return Result{}, fmt.Errorf("sending to %s: %w", l.Address, err)
	}
	return merge(recorders, time.Duration(l.to.Load()-l.from.Load())), nil
}

// Stop ends the Tail.
func (l *Load) Stop() {
	if !l.stopped.Swap(true) {
		close(l.stop)
	}
}

// AwaitAccepted waits for the first request that is answered 202 after the call,
// and returns how long after the call it was.
func (l *Load) AwaitAccepted(ctx context.Context) (time.Duration, error) {
	called := time.Since(l.begin)
	l.awaiting.Store(true)
	select {
	case <-l.acceptedC:
		return time.Duration(l.accepted.Load()) - called, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// due is how many requests an open loop will send.
func (l *Load) due() int {
	return int(math.Ceil(l.Rate * (l.WarmUp + l.Duration).Seconds()))
}

// conduct goes through the stretches of time.
func (l *Load) conduct(ctx context.Context) error {
	if err := wait(ctx, l.WarmUp, nil); err != nil {
		return err
	}
	if l.OnMeasure != nil {
		if err := l.OnMeasure(); err != nil {
			return err
		}
	}
	l.from.Store(l.now())
	if err := wait(ctx, l.Duration, l.enough); err != nil {
		return err
	}
	l.to.Store(l.now())
	if l.OnEnd != nil {
		if err := l.OnEnd(); err != nil {
			return err
		}
	}
	if l.Tail > 0 {
		return wait(ctx, l.Tail, l.stop)
	}
	return nil
}

// now returns the nanoseconds since the beginning, at least 1.
func (l *Load) now() int64 { return max(1, int64(time.Since(l.begin))) }

// measures reports whether an instant belongs to what is measured.
func (l *Load) measures(instant int64) bool {
	from := l.from.Load()
	if from == 0 || instant < from {
		return false
	}
	to := l.to.Load()
	return to == 0 || instant <= to
}

// overlaps reports whether a stretch of time has a part in what is measured: a
// request that hangs from before it began until after it ended is not to be
// forgotten.
func (l *Load) overlaps(begin, end int64) bool {
	from, to := l.from.Load(), l.to.Load()
	return from != 0 && end >= from && (to == 0 || begin <= to)
}

func wait(ctx context.Context, d time.Duration, enough <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-enough:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pace hands out a ticket for each request when it is due: the instant.
func (l *Load) pace(ctx context.Context, tickets chan<- int64) {
	defer close(tickets)
	interval := float64(time.Second) / l.Rate
	for i := range l.due() {
		due := int64(float64(i) * interval)
		for {
			early := due - int64(time.Since(l.begin))
			if early <= 0 {
				break
			}
			if ctx.Err() != nil {
				return
			}
			pause(time.Duration(early))
		}
		tickets <- due
	}
}

// worker sends the requests of one connection.
type worker struct {
	load     *Load
	client   *client
	recorder *recorder
	head     []byte // of every request, up to the length
	body     []byte
	request  []byte
	kept     []byte // memory for answers that are read
}

func newWorker(l *Load, r *recorder) *worker {
	path := "/event"
	if l.Batch > 0 {
		path = "/events"
	}
	return &worker{
		load: l, client: newClient(l.Address), recorder: r,
		head: fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: ", path, l.Address),
	}
}

// closed sends one request after the other.
func (w *worker) closed(ctx context.Context) {
	for !w.load.stopped.Load() && ctx.Err() == nil {
		sent := w.load.now()
		a := w.send(ctx)
		done := w.load.now()
		w.recorder.record(a, done-sent, w.load.overlaps(sent, done), w.load.measures(done))
		if !a.sent {
			_ = wait(ctx, redialPause, nil) // the loop asks the context
		}
	}
}

// redialPause keeps a connection that can't be made from taking all the time.
const redialPause = 20 * time.Millisecond

// open sends a request for each ticket. A request that became due within what is
// measured counts, however late it is answered.
func (w *worker) open(ctx context.Context, tickets <-chan int64) {
	for due := range tickets {
		if ctx.Err() != nil {
			return
		}
		counts := w.load.measures(due)
		if to := w.load.to.Load(); to != 0 && w.load.now()-to > int64(w.load.Grace/2) {
			// Too late for it. What it waited so far is the least that its latency
			// would be; to leave it out would be to forget the worst.
			w.recorder.record(answer{late: true}, w.load.now()-due, counts, false)
			continue
		}
		a := w.send(ctx)
		done := w.load.now()
		w.recorder.record(a, done-due, counts, w.load.measures(done))
	}
}

// answer is what became of one request.
type answer struct {
	sent   bool
	late   bool  // not sent within the time for it
	status int   // 0: none came
	stored int   // events answered with 202
	took   int64 // nanoseconds from sending it, however late that was
}

// send sends one request and records the outcomes of its events.
func (w *worker) send(ctx context.Context) answer {
	l := w.load
	count := max(l.Batch, 1)
	first := l.Ledger.Take(count)
	w.body = w.body[:0]
	if l.Batch > 0 {
		w.body = append(w.body, '[')
	}
	for i := range count {
		if i > 0 {
			w.body = append(w.body, ',')
		}
		e := l.Source.Event(first + uint64(i))
		w.body = e.AppendJSON(w.body)
	}
	if l.Batch > 0 {
		w.body = append(w.body, ']')
	}
	w.request = strconv.AppendInt(append(w.request[:0], w.head...), int64(len(w.body)), 10)
	w.request = append(append(w.request, "\r\n\r\n"...), w.body...)

	var kept []byte
	if l.Batch > 0 {
		if w.kept == nil {
			w.kept = make([]byte, 0, 4<<10)
		}
		kept = w.kept[:0]
	}
	begin := l.now()
	response, sent, err := w.client.do(ctx, w.request, kept)
	a := answer{sent: sent, took: l.now() - begin}
	switch {
	case !sent:
		w.set(first, count, Unsent)
	case err != nil: // Unknown, as they are
	case response.status == http.StatusAccepted && l.Batch > 0:
		w.kept = response.body
		a.status = response.status
		a.stored, err = resolve(l.Ledger, first, count, response.body)
		if err != nil {
			a.status = 0 // an answer that can't be understood is none
		}
	case response.status == http.StatusAccepted:
		a.status, a.stored = response.status, 1
		outcome := Accepted
		if response.duplicate {
			outcome = Duplicate
		}
		l.Ledger.Set(first, outcome)
	case response.status >= 400 && response.status < 500:
		a.status = response.status
		w.set(first, count, Refused)
	default:
		a.status = response.status
		w.set(first, count, Failed)
	}
	if a.stored > 0 && l.awaiting.Load() && l.accepted.CompareAndSwap(0, l.now()) {
		close(l.acceptedC)
	}
	return a
}

func (w *worker) set(first uint64, count int, o Outcome) {
	for i := range uint64(count) {
		w.load.Ledger.Set(first+i, o)
	}
}

// receipt is the answer to a batch.
type receipt struct {
	Received  int `json:"received"`
	Duplicate int `json:"duplicate"`
	Rejected  int `json:"rejected"`
	Results   []struct {
		Index  int    `json:"index"`
		Status string `json:"status"`
	} `json:"results"`
}

// resolve records the outcomes that a batch's receipt tells: those that it doesn't
// list were received. It returns how many are stored.
func resolve(ledger *Ledger, first uint64, count int, body []byte) (stored int, err error) {
	var r receipt
	if err := json.Unmarshal(body, &r); err != nil {
		return 0, fmt.Errorf("reading a batch's receipt: %w", err)
	}
	outcomes := make([]Outcome, count)
	for i := range outcomes {
		outcomes[i] = Accepted
	}
	for _, result := range r.Results {
		if result.Index < 0 || result.Index >= count {
			return 0, fmt.Errorf("a receipt for %d events lists number %d", count, result.Index)
		}
		switch result.Status {
		case "accepted", "received":
		case "duplicate":
			outcomes[result.Index] = Duplicate
		case "rejected":
			outcomes[result.Index] = Refused
		default: // retry
			outcomes[result.Index] = Failed
		}
	}
	for _, o := range outcomes {
		if o == Accepted || o == Duplicate {
			stored++
		}
	}
	if stored != r.Received+r.Duplicate {
		return 0, errors.New("a receipt's numbers and its list don't agree")
	}
	for i, o := range outcomes {
		ledger.Set(first+uint64(i), o)
	}
	return stored, nil
}
