package analytics

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// try is a request that the server of a rig was asked.
type try struct {
	at     time.Duration // since the beginning
	events []string
	header http.Header
}

// rig is a client with a server that a test plays, and with all that came of it. It lives in a bubble of
// synctest: time passes when everybody waits, and a goroutine that is left behind fails the test.
type rig struct {
	t      *testing.T
	client *Client
	began  time.Time
	log    bytes.Buffer

	mu       sync.Mutex
	tries    []try
	outcomes []Outcome
}

// newRig starts a client. The server answers the n-th request, from 1; nil takes everything.
func newRig(t *testing.T, o Options, answer func(n int, r *http.Request, events []string) (*reply, error)) *rig {
	t.Helper()
	b := &rig{t: t, began: time.Now()}
	o.URL = "http://analytics.example/base/"
	o.Logger = slog.New(slog.NewTextHandler(&lockedWriter{w: &b.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.HTTPClient = &http.Client{CheckRedirect: keepMethod, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		events := linesOf(t, r)
		b.mu.Lock()
		b.tries = append(b.tries, try{at: time.Since(b.began), events: events, header: r.Header})
		n := len(b.tries)
		b.mu.Unlock()
		if r.Method != http.MethodPost || r.URL.String() != "http://analytics.example/base/events" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		if answer == nil {
			return received(len(events)).response(), nil
		}
		a, err := answer(n, r, events)
		if err != nil {
			return nil, err
		}
		return a.response(), nil
	})}
	told := o.OnOutcome
	o.OnOutcome = func(outcome Outcome) {
		b.mu.Lock()
		b.outcomes = append(b.outcomes, outcome)
		b.mu.Unlock()
		if told != nil {
			told(outcome)
		}
	}
	var err error
	if b.client, err = New(o); err != nil {
		t.Fatal(err)
	}
	return b
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// track tracks events of the types given.
func (b *rig) track(types ...string) {
	b.t.Helper()
	for _, name := range types {
		if err := b.client.Track(b.t.Context(), Event{UserID: 1, Type: name}); err != nil {
			b.t.Errorf("Track(%s): %v", name, err)
		}
	}
}

func (b *rig) close(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return b.client.Close(ctx)
}

func (b *rig) flush(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return b.client.Flush(ctx)
}

// end closes the client, which must have delivered everything, and checks the counters against the outcomes.
func (b *rig) end() {
	b.t.Helper()
	if err := b.close(time.Hour); err != nil {
		b.t.Error(err)
	}
	b.checkStats()
}

func (b *rig) checkStats() {
	b.t.Helper()
	s := b.client.Stats()
	got := map[Result]int64{}
	for result, n := range map[Result]int64{Accepted: s.Accepted, Duplicate: s.Duplicate, Rejected: s.Rejected, Dropped: s.Dropped, Failed: s.Failed} {
		if n > 0 {
			got[result] = n
		}
	}
	want := map[Result]int64{}
	for _, o := range b.outcomes {
		want[o.Result]++
	}
	if !maps.Equal(got, want) || s.Requests != int64(len(b.tries)) {
		b.t.Errorf("the counters are %+v, the outcomes %v of %d requests", s, want, len(b.tries))
	}
}

// types returns the types of the events of each try, as "a b | c".
func (b *rig) types() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var tries []string
	for _, try := range b.tries {
		var types []string
		for _, text := range try.events {
			e, err := parseEvent([]byte(text))
			if err != nil {
				b.t.Errorf("%s: %v", text, err)
			}
			types = append(types, e.Type)
		}
		tries = append(tries, strings.Join(types, " "))
	}
	return strings.Join(tries, " | ")
}

// told returns what became of each event, as "a:accepted b:failed/unauthorized".
func (b *rig) told() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []string
	for _, o := range b.outcomes {
		text := o.Event.Type + ":" + string(o.Result)
		if o.Code != "" {
			text += "/" + o.Code
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func wantText(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s\nwant: %s", what, got, want)
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, Options{MaxBatchEvents: 3, MaxBatchBytes: 450, FlushInterval: time.Minute}, nil)
		// By count, at once.
		b.track("a", "b", "c")
		synctest.Wait()
		// By bytes, as soon as one doesn't fit.
		large := map[string]any{"x": strings.Repeat("x", 200)}
		for _, name := range []string{"d", "e"} {
			if err := b.client.Track(t.Context(), Event{UserID: 1, Type: name, Payload: large}); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		wantText(t, "at once", b.types(), "a b c | d")
		// By time, that of the oldest.
		time.Sleep(30 * time.Second)
		b.track("f")
		time.Sleep(31 * time.Second)
		wantText(t, "after a minute", b.types(), "a b c | d | e f")
		// Larger than a batch may be: alone.
		if err := b.client.Track(t.Context(), Event{UserID: 1, Type: "g", Payload: map[string]any{"x": strings.Repeat("x", 1000)}}); err != nil {
			t.Error(err)
		}
		b.track("h")
		synctest.Wait()
		b.end()
		wantText(t, "all", b.types(), "a b c | d | e f | g | h")
		if at := b.tries[2].at; at != time.Minute {
			t.Errorf("the batch by time was sent after %s", at)
		}
		for i, compressed := range []bool{false, false, false, true, false} {
			h := b.tries[i].header
			if (h.Get("Content-Encoding") == "gzip") != compressed || h.Get("Content-Type") != "application/x-ndjson" || h.Get("User-Agent") != "analytics-go/"+Version {
				t.Errorf("request %d: %v", i+1, h)
			}
		}
	})
}

func TestRetries(t *testing.T) {
	t.Parallel()
	cut := func(length int64) *reply {
		r := received(2)
		r.body = io.MultiReader(io.LimitReader(r.body, length), brokenOff{})
		return r
	}
	for name, answer := range map[string]func(r *http.Request) (*reply, error){
		"no connection":   func(*http.Request) (*reply, error) { return nil, errors.New("connection refused") },
		"a panic":         func(*http.Request) (*reply, error) { panic("no") },
		"a cut answer":    func(*http.Request) (*reply, error) { return cut(10), nil },
		"a time-out":      func(r *http.Request) (*reply, error) { <-r.Context().Done(); return nil, r.Context().Err() },
		"408":             func(*http.Request) (*reply, error) { return problem(408, "request_timeout"), nil },
		"429":             func(*http.Request) (*reply, error) { return problem(429, "rate_limited"), nil },
		"500":             func(*http.Request) (*reply, error) { return problem(500, "internal"), nil },
		"502 with a page": func(*http.Request) (*reply, error) { return page(502, "text/html", "<html>"), nil },
		"503":             func(*http.Request) (*reply, error) { return problem(503, "unavailable"), nil },
		"599":             func(*http.Request) (*reply, error) { return problem(599, ""), nil },
		"a captive portal": func(*http.Request) (*reply, error) {
			return page(302, "text/html", "", "Location", "http://login.example/"), nil
		},
		"200":     func(*http.Request) (*reply, error) { return page(200, "text/html", "Welcome"), nil },
		"no JSON": func(*http.Request) (*reply, error) { return receipt("<html>"), nil },
		"too few": func(*http.Request) (*reply, error) { return received(1), nil },
		"another batch's": func(*http.Request) (*reply, error) {
			return receipt(`{"received":1,"duplicate":1,"results":[{"index":2,"status":"duplicate"}]}`), nil
		},
		"an unknown status": func(*http.Request) (*reply, error) {
			return receipt(`{"received":1,"duplicate":1,"results":[{"index":1,"status":"new"}]}`), nil
		},
		"the same twice": func(*http.Request) (*reply, error) {
			return receipt(`{"received":0,"duplicate":2,"results":[{"index":1,"status":"duplicate"},{"index":1,"status":"duplicate"}]}`), nil
		},
		"results that miss one": func(*http.Request) (*reply, error) {
			return receipt(`{"received":1,"rejected":1,"results":[]}`), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const failures = 12
				b := newRig(t, Options{MaxBatchEvents: 2}, func(n int, r *http.Request, events []string) (*reply, error) {
					if n <= failures {
						return answer(r)
					}
					return received(len(events)), nil
				})
				b.track("a", "b")
				if err := b.flush(time.Hour); err != nil {
					t.Error(err)
				}
				b.end()
				if len(b.tries) != failures+1 {
					t.Fatalf("%d tries", len(b.tries))
				}
				limit := 100 * time.Millisecond
				for i := range failures {
					wait := b.tries[i+1].at - b.tries[i].at
					if name == "a time-out" {
						wait -= 10 * time.Second
					}
					if wait < 0 || wait > limit {
						t.Errorf("try %d came %s after the one before; at most %s", i+2, wait, limit)
					}
					limit = min(2*limit, 30*time.Second)
					if !slices.Equal(b.tries[i+1].events, b.tries[0].events) {
						t.Errorf("try %d has other events", i+2)
					}
				}
				wantText(t, "told", b.told(), "a:accepted b:accepted")
				if s := b.client.Stats(); s.Retries != failures {
					t.Errorf("%d retries", s.Retries)
				}
				if warnings := strings.Count(b.log.String(), "level=WARN"); warnings != 1 {
					t.Errorf("%d warnings of one failure that lasts", warnings)
				}
			})
		})
	}
}

type brokenOff struct{}

func (brokenOff) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestJitterIsFull(t *testing.T) {
	t.Parallel()
	o, err := Options{URL: "http://a"}.resolved()
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{options: o}
	for _, failures := range []int{1, 2, 5, 9, 10, 1000} {
		limit := min(100*time.Millisecond<<min(failures-1, 20), 30*time.Second)
		low, high := limit, time.Duration(0)
		for range 1000 {
			wait := c.backoff(failures, 0)
			low, high = min(low, wait), max(high, wait)
		}
		if low < 0 || high > limit || low > limit/10 || high < limit*9/10 {
			t.Errorf("after %d failures it waits %s to %s, want 0 to %s", failures, low, high, limit)
		}
	}
	for asked, want := range map[time.Duration]time.Duration{time.Second: time.Second, time.Hour: 5 * time.Minute} {
		if wait := c.backoff(1, asked); wait != want {
			t.Errorf("asked to wait for %s it waits %s", asked, wait)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		headers := []string{"7", time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat), "86400"}
		b := newRig(t, Options{MaxBatchEvents: 1}, func(n int, r *http.Request, events []string) (*reply, error) {
			if n <= len(headers) {
				return problem(503, "unavailable", "Retry-After", headers[n-1]), nil
			}
			return received(len(events)), nil
		})
		b.track("a")
		time.Sleep(time.Hour)
		b.end()
		for i, want := range []time.Duration{0, 7 * time.Second, 20 * time.Second, 320 * time.Second} {
			if at := b.tries[i].at; at != want {
				t.Errorf("try %d after %s, want %s", i+1, at, want)
			}
		}
	})
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "x": 0, "-1": 0, "1.5": 0, "0": 0, "3": 3 * time.Second, "99999999999999": 0,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if got := parseRetryAfter(text, now); got != want {
			t.Errorf("Retry-After: %s is %s, want %s", text, got, want)
		}
	}
}

func TestAnswersPerEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, Options{MaxBatchEvents: 5}, func(n int, r *http.Request, events []string) (*reply, error) {
			if n == 1 {
				return receipt(`{"received":1,"duplicate":1,"rejected":1,"retry":2,"results":[
					{"index":0,"status":"retry"},{"index":1,"status":"duplicate"},{"index":3,"status":"retry"},
					{"index":4,"status":"rejected","errors":[{"pointer":"/user_id","code":"minimum","detail":"must be at least 1"}]}]}`, "Retry-After", "3"), nil
			}
			return received(len(events)), nil
		})
		b.track("a", "b", "c", "d", "e", "f")
		if err := b.flush(time.Minute); err != nil {
			t.Error(err)
		}
		b.end()
		wantText(t, "sent", b.types(), "a b c d e | a d | f")
		wantText(t, "told", b.told(), "a:accepted b:duplicate c:accepted d:accepted e:rejected/minimum f:accepted")
		if at := b.tries[1].at; at != 3*time.Second {
			t.Errorf("sent again after %s", at)
		}
		for _, o := range b.outcomes {
			if o.Result == Rejected && (len(o.Violations) != 1 || o.Violations[0].Detail != "must be at least 1") {
				t.Errorf("the violations are %+v", o.Violations)
			}
		}
	})
}

func TestTooLargeBatchesAreHalved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, Options{MaxBatchEvents: 7}, func(n int, r *http.Request, events []string) (*reply, error) {
			if n == 4 { // amid the halves
				return problem(503, "unavailable"), nil
			}
			if len(events) > 2 || strings.Contains(strings.Join(events, ""), `"big"`) {
				return problem(413, "content_too_large"), nil
			}
			return received(len(events)), nil
		})
		b.track("a", "b", "c", "d", "big", "f", "g", "h")
		if err := b.flush(time.Hour); err != nil {
			t.Error(err)
		}
		b.end()
		wantText(t, "sent", b.types(), "a b c d big f g | a b c d | a b | c d | c d | big f g | big f | big | f | g | h")
		wantText(t, "told", b.told(), "a:accepted b:accepted big:rejected/content_too_large c:accepted d:accepted f:accepted g:accepted h:accepted")
	})
}

func TestWhatIsNotRetried(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 403, 404, 405, 415, 422, 451} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newRig(t, Options{MaxBatchEvents: 2}, func(n int, r *http.Request, events []string) (*reply, error) {
					switch n {
					case 1:
						return problem(status, "the_code"), nil
					case 2:
						return page(status, "text/html", "<html>"), nil
					}
					return received(len(events)), nil
				})
				b.track("a", "b", "c", "d", "e", "f")
				b.end()
				wantText(t, "sent", b.types(), "a b | c d | e f")
				wantText(t, "told", b.told(), "a:failed/the_code b:failed/the_code c:failed d:failed e:accepted f:accepted")
				for _, o := range b.outcomes {
					if o.Result == Failed && o.Status != status {
						t.Errorf("the status is %d", o.Status)
					}
				}
			})
		})
	}
}

func TestViolationsOfAWholeBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, Options{MaxBatchEvents: 3}, func(int, *http.Request, []string) (*reply, error) {
			return page(422, "application/problem+json", `{"status":422,"code":"validation_failed","errors":[
				{"pointer":"/0/user_id","code":"minimum","detail":"x"},{"pointer":"/2/event_type","code":"pattern","detail":"y"},{"pointer":"/2","code":"too_large","detail":"z"},
				{"pointer":"/9/user_id","code":"minimum","detail":"x"},{"pointer":"#header/x","code":"format","detail":"x"}]}`), nil
		})
		b.track("a", "b", "c")
		b.end()
		got := map[string]string{}
		for _, o := range b.outcomes {
			text := string(o.Result)
			for _, v := range o.Violations {
				text += " " + v.Pointer + ":" + v.Code
			}
			got[o.Event.Type] = text
		}
		want := map[string]string{"a": "rejected /user_id:minimum", "b": "rejected", "c": "rejected /event_type:pattern :too_large"}
		if !maps.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
	})
}

// hang answers nothing until the client gives up, for the first requests.
func hang(tries int) func(int, *http.Request, []string) (*reply, error) {
	return func(n int, r *http.Request, events []string) (*reply, error) {
		if n <= tries {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		return received(len(events)), nil
	}
}

func TestFullQueue(t *testing.T) {
	t.Parallel()
	t.Run("drops the newest", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, Options{MaxBatchEvents: 2, MaxQueueEvents: 4}, hang(1))
			b.track("a", "b")
			synctest.Wait()
			b.track("c", "d")
			for _, name := range []string{"e", "f"} {
				if err := b.client.Track(t.Context(), Event{UserID: 1, Type: name}); !errors.Is(err, ErrQueueFull) {
					t.Errorf("Track: %v", err)
				}
			}
			time.Sleep(time.Minute)
			b.track("g")
			b.end()
			wantText(t, "told", b.told(), "a:accepted b:accepted c:accepted d:accepted e:dropped/queue_full f:dropped/queue_full g:accepted")
			if n := strings.Count(b.log.String(), "events are dropped"); n != 1 {
				t.Errorf("%d warnings of dropped events", n)
			}
		})
	})
	t.Run("drops the oldest", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, Options{MaxBatchEvents: 2, MaxQueueEvents: 4, OnFull: DropOldest}, hang(1))
			b.track("a", "b")
			synctest.Wait()
			b.track("c", "d", "e", "f")
			b.end()
			wantText(t, "told", b.told(), "a:accepted b:accepted c:dropped/queue_full d:dropped/queue_full e:accepted f:accepted")
		})
	})
	t.Run("drops the oldest, in a rest those that were sent, too", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, Options{MaxBatchEvents: 2, MaxQueueEvents: 4, OnFull: DropOldest}, func(n int, r *http.Request, events []string) (*reply, error) {
				if n == 1 {
					return problem(503, "unavailable", "Retry-After", "60"), nil
				}
				return received(len(events)), nil
			})
			b.track("a", "b")
			synctest.Wait()
			b.track("c", "d", "e")
			b.end()
			wantText(t, "sent", b.types(), "a b | b | c d | e")
			wantText(t, "told", b.told(), "a:dropped/queue_full b:accepted c:accepted d:accepted e:accepted")
		})
	})
	t.Run("has only events under way", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, Options{MaxBatchEvents: 2, MaxQueueEvents: 2, OnFull: DropOldest}, hang(1))
			b.track("a", "b")
			synctest.Wait()
			if err := b.client.Track(t.Context(), Event{UserID: 1, Type: "c"}); !errors.Is(err, ErrQueueFull) {
				t.Errorf("Track: %v", err)
			}
			b.end()
			wantText(t, "told", b.told(), "a:accepted b:accepted c:dropped/queue_full")
		})
	})
	t.Run("blocks", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, Options{MaxBatchEvents: 2, MaxQueueEvents: 2, OnFull: Block, BlockTimeout: time.Minute}, hang(1))
			b.track("a", "b")
			synctest.Wait()
			b.track("c") // after the time-out of 10 s
			if waited := time.Since(b.began); waited < 10*time.Second || waited > 11*time.Second {
				t.Errorf("Track waited for %s", waited)
			}
			b.end()
		})
	})
	t.Run("blocks for so long", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, Options{MaxBatchEvents: 2, MaxQueueEvents: 2, OnFull: Block}, hang(1))
			b.track("a", "b")
			synctest.Wait()
			before := time.Now()
			err := b.client.Track(t.Context(), Event{UserID: 1, Type: "c"})
			if waited := time.Since(before); !errors.Is(err, ErrQueueFull) || waited != 100*time.Millisecond {
				t.Errorf("Track: %v after %s", err, waited)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			before = time.Now()
			err = b.client.Track(ctx, Event{UserID: 1, Type: "d"})
			if waited := time.Since(before); !errors.Is(err, ErrQueueFull) || !errors.Is(err, context.DeadlineExceeded) || waited != 30*time.Millisecond {
				t.Errorf("Track with a deadline: %v after %s", err, waited)
			}
			b.end()
			wantText(t, "told", b.told(), "a:accepted b:accepted c:dropped/queue_full d:dropped/queue_full")
		})
	})
	t.Run("is closed while blocking", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, Options{MaxBatchEvents: 2, MaxQueueEvents: 2, OnFull: Block, BlockTimeout: time.Hour}, hang(1))
			b.track("a", "b")
			blocked := make(chan error)
			go func() { blocked <- b.client.Track(context.Background(), Event{UserID: 1, Type: "c"}) }()
			synctest.Wait()
			closed := make(chan error)
			go func() { closed <- b.close(time.Minute) }()
			if err := <-blocked; !errors.Is(err, ErrClosed) {
				t.Errorf("Track: %v", err)
			}
			if err := <-closed; err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("doesn't wait for a batch that can't fill", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, Options{MaxBatchEvents: 100, MaxQueueEvents: 2, OnFull: Block, FlushInterval: time.Hour}, nil)
			b.track("a", "b", "c", "d", "e")
			b.end()
			if took := time.Since(b.began); took > 0 {
				t.Errorf("it took %s", took)
			}
		})
	})
	t.Run("by bytes", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			for _, policy := range []Policy{DropNewest, DropOldest, Block} {
				b := newRig(t, Options{MaxQueueBytes: 1000, OnFull: policy}, nil)
				b.track("a")
				before := time.Now()
				// What never fits neither waits nor takes another's place.
				err := b.client.Track(t.Context(), Event{UserID: 1, Type: "b", Payload: map[string]any{"x": strings.Repeat("x", 1000)}})
				if !errors.Is(err, ErrQueueFull) || time.Since(before) > 0 {
					t.Errorf("Track: %v after %s", err, time.Since(before))
				}
				b.end()
				wantText(t, "told", b.told(), "a:accepted b:dropped/queue_full")
			}
		})
	})
}

func TestFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, Options{MaxBatchEvents: 2, FlushInterval: time.Hour}, func(n int, r *http.Request, events []string) (*reply, error) {
			if n == 2 {
				return problem(503, "unavailable", "Retry-After", "60"), nil
			}
			return received(len(events)), nil
		})
		if err := b.flush(time.Second); err != nil {
			t.Errorf("with nothing to flush: %v", err)
		}
		b.track("a", "b", "c")
		err := b.flush(time.Second)
		var unsettled *UnsettledError
		if !errors.As(err, &unsettled) || unsettled.Events != 1 || unsettled.OnDisk || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before the server is back: %v", err)
		}
		// What comes later is none of this flush's business.
		flushed := make(chan error)
		go func() { flushed <- b.flush(time.Hour) }()
		synctest.Wait()
		b.track("d")
		if err := <-flushed; err != nil {
			t.Error(err)
		}
		if at := time.Since(b.began); at != time.Minute {
			t.Errorf("flushed after %s", at)
		}
		wantText(t, "sent", b.types(), "a b | c | c")
		b.end()
		if err := b.flush(time.Second); err != nil {
			t.Errorf("of a closed client: %v", err)
		}
	})
}

func TestClose(t *testing.T) {
	t.Parallel()
	t.Run("delivers what waits", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, Options{MaxBatchEvents: 2, FlushInterval: time.Hour}, nil)
			b.track("a", "b", "c")
			b.end()
			b.end() // twice is fine
			wantText(t, "told", b.told(), "a:accepted b:accepted c:accepted")
			if err := b.client.Track(t.Context(), Event{UserID: 1, Type: "d"}); !errors.Is(err, ErrClosed) {
				t.Errorf("Track: %v", err)
			}
			if s := b.client.Stats(); s.Dropped != 1 {
				t.Errorf("the counters are %+v", s)
			}
		})
	})
	t.Run("cuts a rest short, once", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, Options{MaxBatchEvents: 1}, func(n int, r *http.Request, events []string) (*reply, error) {
				if n <= 2 {
					return problem(503, "unavailable", "Retry-After", "60"), nil
				}
				return received(len(events)), nil
			})
			b.track("a")
			time.Sleep(10 * time.Second)
			b.end()
			for i, want := range []time.Duration{0, 10 * time.Second, 70 * time.Second} {
				if at := b.tries[i].at; at != want {
					t.Errorf("try %d after %s, want %s", i+1, at, want)
				}
			}
		})
	})
	t.Run("drops what is left at its deadline", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, Options{MaxBatchEvents: 2}, hang(1000))
			b.track("a", "b", "c")
			before := time.Now()
			err := b.close(time.Second)
			var unsettled *UnsettledError
			if !errors.As(err, &unsettled) || unsettled.Events != 3 || unsettled.OnDisk || time.Since(before) != time.Second {
				t.Errorf("Close: %v after %s", err, time.Since(before))
			}
			wantText(t, "told", b.told(), "a:dropped/closed b:dropped/closed c:dropped/closed")
			b.checkStats()
			if again := b.close(time.Second); again == nil || again.Error() != err.Error() {
				t.Errorf("Close again: %v", again)
			}
			if err := b.flush(time.Second); err != nil {
				t.Errorf("Flush: %v", err)
			}
		})
	})
	t.Run("ends with the first of two that is out of time", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, Options{MaxBatchEvents: 2}, hang(1000))
			b.track("a")
			both := make(chan error, 2)
			for range 2 {
				go func() { both <- b.client.Close(t.Context()) }()
			}
			synctest.Wait()
			if err := b.close(0); err == nil {
				t.Error("Close without time delivered something")
			}
			for range 2 {
				if err := <-both; err == nil {
					t.Error("another Close says that everything is delivered")
				}
			}
		})
	})
}

func TestCallbacks(t *testing.T) {
	t.Parallel()
	t.Run("that panic", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, Options{OnOutcome: func(o Outcome) { panic("a secret: " + o.Event.Type) }}, nil)
			b.track("a", "b")
			b.end()
			wantText(t, "told", b.told(), "a:accepted b:accepted")
			if n := strings.Count(b.log.String(), "OnOutcome panicked"); n != 2 {
				t.Errorf("%d lines in the log", n)
			}
		})
	})
	t.Run("that track", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var client atomic.Pointer[Client]
			b := newRig(t, Options{MaxBatchEvents: 1, OnOutcome: func(o Outcome) {
				if o.Event.Type == "a" {
					if err := client.Load().Track(context.Background(), Event{UserID: 1, Type: "b"}); err != nil {
						t.Error(err)
					}
				}
			}}, nil)
			client.Store(b.client)
			b.track("a")
			synctest.Wait()
			b.end()
			wantText(t, "told", b.told(), "a:accepted b:accepted")
		})
	})
	t.Run("that are slow", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, Options{MaxQueueEvents: 10, MaxBatchEvents: 1, OnOutcome: func(Outcome) { time.Sleep(time.Minute) }}, nil)
			refused := 0
			for range 200 {
				if b.client.Track(t.Context(), Event{UserID: 1, Type: "a"}) != nil {
					refused++
				}
				synctest.Wait()
			}
			// Delivery waits for the callback, Track doesn't, and what waits to be told is bounded.
			if took := time.Since(b.began); took > 0 || refused == 0 {
				t.Errorf("it took %s; %d were refused", took, refused)
			}
			b.client.outcome.mu.Lock()
			if n := len(b.client.outcome.waiting); n > 20 {
				t.Errorf("%d outcomes wait", n)
			}
			b.client.outcome.mu.Unlock()
			if err := b.close(24 * time.Hour); err != nil {
				t.Error(err)
			}
			if s := b.client.Stats(); int(s.Dropped) != refused || s.Accepted+s.Dropped != 200 {
				t.Errorf("the counters are %+v, %d were refused", s, refused)
			}
		})
	})
	t.Run("that never return", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			b := newRig(t, Options{OnOutcome: func(Outcome) { <-release }}, nil)
			b.track("a")
			if err := b.close(time.Minute); err == nil || !strings.Contains(err.Error(), "OnOutcome") || time.Since(b.began) != time.Minute+callbackGrace {
				t.Errorf("Close: %v after %s", err, time.Since(b.began))
			}
			close(release)
		})
	})
}

func TestEveryEventHasOneOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b := newRig(t, Options{MaxQueueEvents: 100, MaxBatchEvents: 7, OnFull: DropOldest, QueueDir: dir}, func(n int, r *http.Request, events []string) (*reply, error) {
			switch n % 5 {
			case 0:
				return nil, errors.New("connection reset")
			case 1:
				return receipt(fmt.Sprintf(`{"received":%d,"retry":1,"results":[{"index":0,"status":"retry"}]}`, len(events)-1)), nil
			case 2:
				return problem(503, "unavailable"), nil
			case 3:
				return problem(413, "content_too_large"), nil
			}
			return received(len(events)), nil
		})
		var goroutines sync.WaitGroup
		var returned atomic.Int64
		for g := range 8 {
			goroutines.Go(func() {
				for i := range 200 {
					payload := any(map[string]any{"g": g, "i": i})
					if i%50 == 0 {
						payload = "no object"
					}
					if b.client.Track(context.Background(), Event{UserID: 1, Type: fmt.Sprint(g, "-", i), Payload: payload}) != nil {
						returned.Add(1)
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		goroutines.Wait()
		b.end()
		seen := map[string]bool{}
		for _, o := range b.outcomes {
			if seen[o.Event.Type] {
				t.Errorf("%s has two outcomes", o.Event.Type)
			}
			seen[o.Event.Type] = true
		}
		if len(seen) != 1600 {
			t.Errorf("%d events of 1600 have an outcome", len(seen))
		}
		if s := b.client.Stats(); s.Queued != 0 || s.Dropped == 0 || s.Accepted == 0 || s.Retries == 0 {
			t.Errorf("the counters are %+v", s)
		}
		if left := journals(t, dir); len(left) > 0 {
			t.Errorf("files are left: %v", left)
		}
	})
}

func TestQueueDirKeepsEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		down := func(int, *http.Request, []string) (*reply, error) {
			return nil, errors.New("connection refused")
		}
		first := newRig(t, Options{QueueDir: dir, MaxBatchEvents: 2}, down)
		if err := first.client.Track(t.Context(), Event{UserID: 7, Type: "a", Payload: map[string]any{"n": 1}}); err != nil {
			t.Error(err)
		}
		first.track("b", "c")
		err := first.close(time.Second)
		var unsettled *UnsettledError
		if !errors.As(err, &unsettled) || unsettled.Events != 3 || !unsettled.OnDisk {
			t.Errorf("Close: %v", err)
		}
		if s := first.client.Stats(); s.Queued != 3 || s.Dropped != 0 || len(first.outcomes) != 0 {
			t.Errorf("the counters are %+v, told %s", s, first.told())
		}
		// The next process sends the same, before what it is told.
		second := newRig(t, Options{QueueDir: dir, MaxBatchEvents: 2, FlushInterval: time.Hour}, nil)
		second.track("d")
		synctest.Wait()
		second.end()
		wantText(t, "told", second.told(), "a:accepted b:accepted c:accepted d:accepted")
		if !slices.Equal(second.tries[0].events, first.tries[0].events) {
			t.Errorf("sent %v, and before %v", second.tries[0].events, first.tries[0].events)
		}
		if o := second.outcomes[0]; o.Event.UserID != 7 || string(o.Event.Payload) != `{"n":1}` || o.Event.Time.IsZero() {
			t.Errorf("told %+v", o.Event)
		}
		third := newRig(t, Options{QueueDir: dir}, nil)
		third.end()
		if len(third.tries) > 0 {
			t.Errorf("sent again: %s", third.types())
		}
	})
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for text, o := range map[string]Options{
		"Options.URL: say where":                         {},
		"Options.URL: is not an address":                 {URL: "localhost:8000"},
		"Options.URL: is not an address ":                {URL: "http://user:secret@host:port/"},
		"Options.MaxBatchEvents: 5001 is not from 1":     {URL: "http://a", MaxBatchEvents: 5001},
		"Options.MaxBatchBytes: -1 is not from 1":        {URL: "http://a", MaxBatchBytes: -1},
		"Options.FlushInterval: -1s is not from 0 to 24": {URL: "http://a", FlushInterval: -time.Second},
		"Options.OnFull: 3 is not":                       {URL: "http://a", OnFull: 3},
	} {
		_, err := New(o)
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(text)) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v, want %s", o, err, text)
		}
	}
	_, err := New(Options{MaxQueueEvents: -1, MaxQueueBytes: -1})
	if err == nil || strings.Count(err.Error(), "Options.") != 3 {
		t.Errorf("not all that is wrong is said: %v", err)
	}
}

func TestPayloadsAreCopied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, Options{}, nil)
		payload := map[string]any{"n": 1}
		raw := json.RawMessage(`{"n":1}`)
		for _, p := range []any{payload, raw} {
			if err := b.client.Track(t.Context(), Event{UserID: 1, Type: "a", Payload: p}); err != nil {
				t.Error(err)
			}
		}
		payload["n"] = 2
		raw[5] = '2'
		b.end()
		for _, text := range b.tries[0].events {
			if !strings.HasSuffix(text, `"payload":{"n":1}}`) {
				t.Errorf("sent %s", text)
			}
		}
		if strings.Contains(b.log.String(), `"n"`) {
			t.Error("the log has a payload in it")
		}
	})
}
