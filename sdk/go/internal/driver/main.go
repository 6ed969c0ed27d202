// Command driver does what a scenario of test/sdk says with the Go SDK.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	analytics "highload.example/analytics/sdk/go"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

type scenario struct {
	Options struct {
		MaxBatchEvents   int    `json:"max_batch_events"`
		MaxBatchBytes    int    `json:"max_batch_bytes"`
		FlushIntervalMS  int64  `json:"flush_interval_ms"`
		MaxQueueEvents   int    `json:"max_queue_events"`
		MaxQueueBytes    int    `json:"max_queue_bytes"`
		OnFull           string `json:"on_full"`
		BlockTimeoutMS   int64  `json:"block_timeout_ms"`
		RequestTimeoutMS int64  `json:"request_timeout_ms"`
		BackoffBaseMS    int64  `json:"backoff_base_ms"`
		BackoffMaxMS     int64  `json:"backoff_max_ms"`
		Gzip             bool   `json:"gzip"`
	} `json:"options"`
	Durable bool   `json:"durable"`
	Steps   []step `json:"steps"`
}

type step struct {
	Do           string         `json:"do"`
	Count        int            `json:"count"`
	UserID       int64          `json:"user_id"`
	EventType    string         `json:"event_type"`
	Payload      map[string]any `json:"payload"`
	Timestamp    *int64         `json:"timestamp"`
	PayloadBytes int            `json:"payload_bytes"`
	Event        event          `json:"event"`
	TimeoutMS    int64          `json:"timeout_ms"`
}

func (s step) timeout() time.Duration { return time.Duration(s.TimeoutMS) * time.Millisecond }

// event is one in the driver's answer, or one of track_raw.
type event struct {
	EventID   string          `json:"event_id"`
	UserID    int64           `json:"user_id"`
	EventType string          `json:"event_type"`
	Timestamp int64           `json:"timestamp"`
	Payload   json.RawMessage `json:"payload,omitempty"`
	Outcome   string          `json:"outcome"`
	Code      string          `json:"code"`
}

type answer struct {
	SDK      string           `json:"sdk"`
	Events   []*event         `json:"events"`
	Tracked  int              `json:"tracked"`
	Flushes  []bool           `json:"flushes"`
	Closed   *bool            `json:"closed"`
	Requests int64            `json:"requests"`
	Stats    map[string]int64 `json:"stats"`
}

type driver struct {
	client  *analytics.Client
	durable bool
	tracked int
	flushes []bool
	closed  *bool

	mu      sync.Mutex
	settled chan struct{} // holds one signal
	events  []*event
	byID    map[string]*event
	done    int
}

func run() error {
	var s scenario
	if err := json.NewDecoder(os.Stdin).Decode(&s); err != nil {
		return fmt.Errorf("the scenario can't be read: %w", err)
	}
	policy, ok := map[string]analytics.Policy{
		"drop_newest": analytics.DropNewest, "drop_oldest": analytics.DropOldest, "block": analytics.Block,
	}[s.Options.OnFull]
	if !ok {
		return fmt.Errorf("unknown policy %q", s.Options.OnFull)
	}
	d := &driver{durable: s.Durable, settled: make(chan struct{}, 1), byID: map[string]*event{}, flushes: []bool{}, events: []*event{}}
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	var err error
	d.client, err = analytics.New(analytics.Options{
		URL:            os.Getenv("ANALYTICS_URL"),
		MaxQueueEvents: s.Options.MaxQueueEvents, MaxQueueBytes: s.Options.MaxQueueBytes,
		OnFull: policy, BlockTimeout: ms(s.Options.BlockTimeoutMS),
		MaxBatchEvents: s.Options.MaxBatchEvents, MaxBatchBytes: s.Options.MaxBatchBytes, FlushInterval: ms(s.Options.FlushIntervalMS),
		RequestTimeout: ms(s.Options.RequestTimeoutMS), BackoffBase: ms(s.Options.BackoffBaseMS), BackoffMax: ms(s.Options.BackoffMaxMS),
		NoGzip: !s.Options.Gzip, QueueDir: os.Getenv("QUEUE_DIR"),
		OnOutcome: d.outcome,
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		return err
	}
	for _, step := range s.Steps {
		if err := d.do(step); err != nil {
			return fmt.Errorf("%s: %w", step.Do, err)
		}
	}
	return d.print()
}

func (d *driver) outcome(o analytics.Outcome) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.byID[o.Event.ID]
	if e == nil {
		e = d.add(o.Event)
	}
	e.Outcome, e.Code = string(o.Result), o.Code
	e.EventID, e.Timestamp, e.Payload = o.Event.ID, o.Event.Time.Unix(), o.Event.Payload
	d.done++
	select {
	case d.settled <- struct{}{}:
	default:
	}
}

// add lists an event. The caller holds the lock.
func (d *driver) add(r analytics.Record) *event {
	e := &event{EventID: r.ID, UserID: r.UserID, EventType: r.Type, Payload: r.Payload, Outcome: "pending"}
	d.events = append(d.events, e)
	if e.EventID != "" {
		d.byID[e.EventID] = e
	}
	return e
}

func (d *driver) do(s step) error {
	switch s.Do {
	case "track":
		for i := range s.Count {
			payload := substitute(s.Payload, i)
			if s.PayloadBytes > 0 {
				payload["pad"] = strings.Repeat("x", s.PayloadBytes)
			}
			e := analytics.Event{UserID: s.UserID, Type: s.EventType, Payload: payload}
			if s.Timestamp != nil {
				e.Time = time.Unix(*s.Timestamp, 0)
			}
			if err := d.track(e); err != nil {
				return err
			}
		}
		return nil
	case "track_raw":
		e := analytics.Event{ID: s.Event.EventID, UserID: s.Event.UserID, Type: s.Event.EventType, Payload: s.Event.Payload}
		if s.Event.Timestamp != 0 {
			e.Time = time.Unix(s.Event.Timestamp, 0)
		}
		return d.track(e)
	case "flush":
		err := d.within(s, d.client.Flush)
		d.flushes = append(d.flushes, err == nil)
		return unlessUnsettled(err)
	case "close":
		err := d.within(s, d.client.Close)
		closed := err == nil
		d.closed = &closed
		return unlessUnsettled(err)
	case "wait_settled":
		deadline := time.NewTimer(s.timeout())
		defer deadline.Stop()
		for d.settledEvents() < s.Count {
			select {
			case <-d.settled:
			case <-deadline.C:
				return fmt.Errorf("%d events are settled, not %d", d.settledEvents(), s.Count)
			}
		}
		return nil
	case "wait_retries":
		for deadline := time.Now().Add(s.timeout()); d.client.Stats().Retries < int64(s.Count); <-time.After(time.Millisecond) {
			if time.Now().After(deadline) {
				return fmt.Errorf("%d retries, not %d", d.client.Stats().Retries, s.Count)
			}
		}
		return os.WriteFile("retried", nil, 0o600)
	case "crash":
		if err := d.print(); err != nil {
			return err
		}
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return errors.New("unknown step")
}

func (d *driver) settledEvents() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.done
}

func (d *driver) within(s step, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout())
	defer cancel()
	return do(ctx)
}

func unlessUnsettled(err error) error {
	var unsettled *analytics.UnsettledError
	if errors.As(err, &unsettled) {
		return nil
	}
	return err
}

// track tracks an event. The SDK tells the ids that it makes with the outcome only: an event that the driver may have to
// list before, at a crash, gets its id here.
func (d *driver) track(e analytics.Event) error {
	d.tracked++
	if d.durable {
		e.ID = analytics.NewID()
		payload, err := json.Marshal(e.Payload)
		if err != nil {
			return err
		}
		d.mu.Lock()
		d.add(analytics.Record{ID: e.ID, UserID: e.UserID, Type: e.Type, Payload: payload})
		d.mu.Unlock()
	}
	err := d.client.Track(context.Background(), e)
	switch {
	case err == nil, errors.Is(err, analytics.ErrQueueFull), errors.Is(err, analytics.ErrTooLarge), errors.Is(err, analytics.ErrPayload):
		return nil // the outcome is told, too
	case errors.Is(err, analytics.ErrClosed):
		d.mu.Lock()
		defer d.mu.Unlock()
		refused := d.add(analytics.Record{UserID: e.UserID, Type: e.Type})
		refused.Outcome, refused.Code = string(analytics.Dropped), analytics.CodeClosed
		return nil
	}
	return err
}

func (d *driver) print() error {
	stats := d.client.Stats()
	d.mu.Lock()
	defer d.mu.Unlock()
	return json.NewEncoder(os.Stdout).Encode(answer{
		SDK: "go", Events: d.events, Tracked: d.tracked, Flushes: d.flushes, Closed: d.closed, Requests: stats.Requests,
		Stats: map[string]int64{
			"queued": int64(stats.Queued), "accepted": stats.Accepted, "duplicate": stats.Duplicate, "rejected": stats.Rejected,
			"dropped": stats.Dropped, "failed": stats.Failed, "requests": stats.Requests, "retries": stats.Retries,
		},
	})
}

// substitute copies a payload with the number in place of "$i".
func substitute(payload map[string]any, i int) map[string]any {
	if payload == nil {
		return nil
	}
	result := make(map[string]any, len(payload)+1)
	for name, value := range payload {
		result[name] = substituteValue(value, i)
	}
	return result
}

func substituteValue(value any, i int) any {
	switch v := value.(type) {
	case string:
		if v == "$i" {
			return i
		}
	case map[string]any:
		return substitute(v, i)
	case []any:
		list := make([]any, len(v))
		for k := range v {
			list[k] = substituteValue(v[k], i)
		}
		return list
	}
	return value
}
