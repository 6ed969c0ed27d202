package generator

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server and returns where it is.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func accept(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusAccepted)
}

// signal is closed when it has been counted so often since begin.
type signal struct {
	left  atomic.Int64
	ready chan struct{}
}

func newSignal() *signal { return &signal{ready: make(chan struct{})} }

func (s *signal) begin(times int64) { s.left.Store(times) }

func (s *signal) count() {
	if s.left.Add(-1) == 0 {
		close(s.ready)
	}
}

func TestAClosedLoopKeepsTheRecord(t *testing.T) {
	t.Parallel()
	source, ledger := newTestSource(t, 1, 1), &Ledger{}
	var requests atomic.Int64
	measured := newSignal()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var e struct {
			EventID string `json:"event_id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil || len(e.EventID) != 36 || r.URL.Path != "/event" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		defer measured.count()
		switch requests.Add(1) % 4 {
		case 0:
			w.WriteHeader(http.StatusTooManyRequests)
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.Header().Set("Event-Status", "duplicate")
			w.WriteHeader(http.StatusAccepted)
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	})
	var began, ended bool
	l := (&Load{
		Address: address, Connections: 3, Source: source, Ledger: ledger, WarmUp: 50 * time.Millisecond, Duration: time.Hour,
		OnMeasure: func() error { began = true; measured.begin(100); return nil },
		OnEnd:     func() error { ended = true; return nil },
		enough:    measured.ready,
	}).Prepare()
	result, err := l.Do(t.Context())
	if err != nil || !began || !ended {
		t.Fatal(err, began, ended)
	}
	if result.Requests == 0 || result.Stored == 0 || result.Stored >= result.Requests {
		t.Errorf("%d requests, %d stored", result.Requests, result.Stored)
	}
	var counted int64
	for _, status := range []string{"202", "429", "503"} {
		if result.Statuses[status] == 0 {
			t.Errorf("no %s in %v", status, result.Statuses)
		}
		counted += result.Statuses[status]
	}
	if result.Latency.TotalCount() != counted || result.Refusals.TotalCount() != result.Statuses["429"]+result.Statuses["503"] {
		t.Errorf("%d latencies, %d of refusals, %v", result.Latency.TotalCount(), result.Refusals.TotalCount(), result.Statuses)
	}
	// Every request of all, those of the warm-up included, is in the ledger.
	f := NewAudit(source, ledger).Finish(0)
	if f.Sent != requests.Load() || f.Accepted == 0 || f.Duplicate == 0 || f.Refused == 0 || f.Failed == 0 || f.Unknown != 0 {
		t.Errorf("%d requests: %+v", requests.Load(), f)
	}
}

// due counts the requests that became due between two instants, in nanoseconds since the
// load began.
func due(l *Load, from, until int64) (n int64) {
	interval := float64(time.Second) / l.Rate
	for i := range l.due() {
		if at := int64(float64(i) * interval); at >= from && at <= until {
			n++
		}
	}
	return n
}

// TestAnOpenLoopCountsFromWhenARequestWasDue has one connection and a server that
// keeps the first request of what is measured until many more are due: all these
// waited, though each was answered at once when it was sent.
func TestAnOpenLoopCountsFromWhenARequestWasDue(t *testing.T) {
	t.Parallel()
	const rate, held = 500.0, 200 * time.Millisecond
	var l *Load
	var holding atomic.Bool
	var arrived atomic.Int64
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if holding.CompareAndSwap(true, false) {
			arrived.Store(l.now())
			<-time.After(held)
		}
		accept(w, r)
	})
	l = (&Load{
		Address: address, Connections: 1, Source: newTestSource(t, 1, 1), Ledger: &Ledger{},
		Rate: rate, WarmUp: 50 * time.Millisecond, Duration: 2 * time.Second,
		OnMeasure: func() error { holding.Store(true); return nil },
	}).Prepare()
	result, err := l.Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Those that became due in the first half of the time that one was held waited for the
	// second half at least. Without their wait, one alone would be slow.
	first, last := l.from.Load(), l.to.Load()
	want := due(l, max(first, arrived.Load()), min(last, arrived.Load()+int64(held/2)))
	slow := int64(0)
	for _, bar := range result.Latency.Distribution() {
		if bar.From >= int64(held/time.Microsecond)/2*99/100 { // bars have three digits
			slow += bar.Count
		}
	}
	if want < 10 || slow < want*8/10 {
		t.Errorf("%d requests took at least %s, not %d or more", slow, held/2, want)
	}
	// All that were due are accounted for, but for those that were on their way when it began.
	all := due(l, first, last)
	if n := result.Latency.TotalCount(); n < all*95/100 || n > all || result.Statuses["202"] != n {
		t.Errorf("%d requests of %d: %v", n, all, result.Statuses)
	}
}

func TestWhatAnOpenLoopCantSendIsNotForgotten(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		accept(w, r)
	})
	t.Cleanup(func() { close(release) })
	ledger, source := &Ledger{}, newTestSource(t, 1, 1)
	l := (&Load{
		Address: address, Connections: 2, Source: source, Ledger: ledger,
		Rate: 200, Duration: time.Second, Grace: 50 * time.Millisecond,
	}).Prepare()
	result, err := l.Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// But for the two that are on their way, and those that were when it began.
	all := due(l, l.from.Load(), l.to.Load())
	if late := result.Statuses[StatusLate]; result.Stored != 0 || late < all*95/100-2 || late > all {
		t.Errorf("of %d: %v", all, result.Statuses)
	}
	if result.Latency.ValueAtQuantile(50) < 50_000 {
		t.Errorf("half of those that were never sent took %d µs", result.Latency.ValueAtQuantile(50))
	}
	if f := NewAudit(source, ledger).Finish(0); f.Unknown == 0 || f.Accepted != 0 {
		t.Errorf("%+v", f)
	}
}

func TestBrokenConnectionsAreMadeAgain(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	measured := newSignal()
	measured.begin(30)
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		defer measured.count()
		switch requests.Add(1) % 3 {
		case 0:
			panic(http.ErrAbortHandler)
		case 1:
			w.Header().Set("Connection", "close")
		}
		accept(w, r)
	})
	source, ledger := newTestSource(t, 1, 1), &Ledger{}
	l := (&Load{Address: address, Connections: 2, Source: source, Ledger: ledger, Duration: time.Hour, enough: measured.ready}).Prepare()
	result, err := l.Do(t.Context())
	if err != nil || result.Statuses["202"] < 2 || result.Statuses[StatusNone] < 1 {
		t.Errorf("%v, %v", result.Statuses, err)
	}
	if f := NewAudit(source, ledger).Finish(0); f.Unknown == 0 || f.Accepted+f.Unknown != requests.Load() {
		t.Errorf("%d requests: %+v", requests.Load(), f)
	}
}

func TestWhereNobodyListensNothingIsSent(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	source, ledger := newTestSource(t, 1, 1), &Ledger{}
	l := (&Load{Address: address, Connections: 1, Source: source, Ledger: ledger, Duration: 100 * time.Millisecond}).Prepare()
	result, err := l.Do(t.Context())
	if err != nil || result.Statuses[StatusDial] == 0 || result.Requests != 0 {
		t.Errorf("%v, %v", result, err)
	}
	if f := NewAudit(source, ledger).Finish(0); f.Sent != 0 {
		t.Errorf("%+v", f)
	}
}

func TestTheEndOfTheContextEndsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 100)
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the end of the connection is not noticed
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	for _, rate := range []float64{0, 100} {
		ctx, cancel := context.WithCancel(t.Context())
		l := (&Load{Address: address, Connections: 4, Source: newTestSource(t, 1, 1), Ledger: &Ledger{}, Rate: rate, Duration: time.Hour / 2}).Prepare()
		ended := make(chan error, 1)
		go func() {
			_, err := l.Do(ctx)
			ended <- err
		}()
		<-arrived
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("it goes on")
		}
	}
}

func TestTheFirstAcceptanceAfterAnOutageEndsTheTail(t *testing.T) {
	t.Parallel()
	var up atomic.Bool
	measured := newSignal()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		defer measured.count()
		_, _ = io.Copy(io.Discard, r.Body)
		if !up.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
	l := (&Load{
		Address: address, Connections: 2, Source: newTestSource(t, 1, 1), Ledger: &Ledger{},
		Duration: time.Hour, Tail: time.Hour, enough: measured.ready,
		OnMeasure: func() error { measured.begin(10); return nil },
	}).Prepare()
	waited := make(chan time.Duration, 1)
	l.OnEnd = func() error {
		go func() {
			d, err := l.AwaitAccepted(t.Context())
			if err != nil {
				t.Error(err)
			}
			l.Stop()
			waited <- d
		}()
		up.Store(true)
		return nil
	}
	result, err := l.Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := <-waited; d < 0 || d > 30*time.Second {
		t.Errorf("after %s", d)
	}
	if result.Statuses["503"] == 0 || result.Stored != 0 {
		t.Errorf("%v, %d stored", result.Statuses, result.Stored)
	}
}

func TestBatchesAreResolvedByTheirReceipt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		stored     int
		outcomes   []Outcome
		wrong      bool
	}{
		{"all received", `{"received":4,"duplicate":0,"rejected":0,"results":[]}`, 4, []Outcome{Accepted, Accepted, Accepted, Accepted}, false},
		{"one of each", `{"received":1,"duplicate":1,"rejected":1,"results":[{"index":1,"status":"duplicate"},{"index":2,"status":"rejected","errors":[]},{"index":3,"status":"retry"}]}`, 2, []Outcome{Accepted, Duplicate, Refused, Failed}, false},
		{"all listed", `{"received":4,"duplicate":0,"rejected":0,"results":[{"index":0,"status":"accepted"},{"index":1,"status":"received"}]}`, 4, []Outcome{Accepted, Accepted, Accepted, Accepted}, false},
		{"numbers that don't agree", `{"received":3,"duplicate":0,"rejected":0,"results":[]}`, 0, nil, true},
		{"an index outside", `{"received":4,"results":[{"index":4,"status":"duplicate"}]}`, 0, nil, true},
		{"no JSON", `received`, 0, nil, true},
	} {
		ledger := &Ledger{}
		first := ledger.Take(4)
		stored, err := resolve(ledger, first, 4, []byte(c.body))
		if stored != c.stored || (err != nil) != c.wrong {
			t.Errorf("%s: %d, %v", c.name, stored, err)
		}
		for i := range uint64(4) {
			want := Unknown
			if c.outcomes != nil {
				want = c.outcomes[i]
			}
			if got := *ledger.at(first + i); got != want {
				t.Errorf("%s: number %d is %d, not %d", c.name, i, got, want)
			}
		}
	}
}

func TestBatchesAreSentAsArrays(t *testing.T) {
	t.Parallel()
	const size = 7
	measured := newSignal()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		defer measured.count()
		var batch []struct {
			EventID string `json:"event_id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&batch); err != nil || len(batch) != size || r.URL.Path != "/events" {
			t.Errorf("%s with %d events: %v", r.URL, len(batch), err)
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, `{"received":%d,"duplicate":0,"rejected":0,"results":[]}`, len(batch))
	})
	source, ledger := newTestSource(t, 1, 1), &Ledger{}
	l := (&Load{
		Address: address, Connections: 2, Batch: size, Source: source, Ledger: ledger, Duration: time.Hour,
		OnMeasure: func() error { measured.begin(10); return nil }, enough: measured.ready,
	}).Prepare()
	result, err := l.Do(t.Context())
	if err != nil || result.Stored == 0 || result.Stored != size*result.Requests {
		t.Errorf("%d stored by %d requests, %v", result.Stored, result.Requests, err)
	}
	if f := NewAudit(source, ledger).Finish(0); f.Accepted != f.Sent || f.Sent%size != 0 {
		t.Errorf("%+v", f)
	}
}

func TestARequestAllocatesNothing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		// A server that allocates nothing either: requests are all that is counted.
		reader := bufio.NewReader(conn)
		answer := []byte("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok")
		for {
			line, err := reader.ReadSlice('\n')
			if err != nil {
				return
			}
			if length, found := strings.CutPrefix(string(line), "Content-Length: "); found {
				n, _ := number([]byte(strings.TrimSpace(length)), 10)
				if _, err := reader.Discard(2 + int(n)); err != nil {
					return
				}
				if _, err := conn.Write(answer); err != nil {
					return
				}
			}
		}
	}()
	l := (&Load{Address: listener.Addr().String(), Source: newTestSource(t, 1, 1), Ledger: &Ledger{}}).Prepare()
	w := newWorker(l, newRecorders(1)[0])
	ctx := t.Context()
	w.send(ctx) // makes the connection
	if n := testing.AllocsPerRun(200, func() {
		if a := w.send(ctx); a.stored != 1 {
			t.Fatalf("%+v", a)
		}
		w.recorder.record(answer{sent: true, status: 202, stored: 1}, 1e6, true, true)
	}); n >= 1 {
		t.Errorf("%v allocations", n)
	}
	w.client.close()
	listener.Close()
	<-served
}
