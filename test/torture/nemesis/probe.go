package nemesis

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"highload.example/analytics/test/torture/history"
)

// Probes are events like any, by a user of their own, and in the history: so they are
// held to all the promises, too.
const (
	probeClient = -2
	probeUser   = 1_000_003
	probeAge    = 2 * time.Hour // behind every clock
)

// The times of a probe: how long it waits for an answer, how long after a failure the next
// one comes, and how long all together go on. Nobody waits for one that
// doesn't come back: another one may be faster.
const (
	probeTimeout = 10 * time.Second
	probeEvery   = 25 * time.Millisecond
	probesEnd    = 60 * time.Second
)

// awaitService sends probes to everyone until each has taken one, and returns how long
// the first target took, and the last.
func (c *Config) awaitService(ctx context.Context) (first, all time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, probesEnd)
	defer cancel()
	began := time.Now()
	took := make([]time.Duration, len(c.Fleet.Targets))
	errs := make([]error, len(took))
	var wg sync.WaitGroup
	for i, target := range c.Fleet.Targets {
		wg.Go(func() { errs[i] = c.awaitTarget(ctx, target); took[i] = time.Since(began) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return 0, 0, err
		}
		all = max(all, took[i])
	}
	return took[0], all, nil
}

// maxProbes bounds the probes that wait for their answers.
const maxProbes = 8

// awaitTarget sends probes to one target, each without awaiting the last, until one is
// taken.
func (c *Config) awaitTarget(ctx context.Context, target string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	taken := make(chan struct{}, 1)
	slots := make(chan struct{}, maxProbes)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	var mu sync.Mutex
	last := "no answer"
	for {
		select {
		case slots <- struct{}{}:
			wg.Go(func() {
				o, answer := c.probe(ctx, target)
				<-slots
				if o.Status == http.StatusAccepted {
					select {
					case taken <- struct{}{}:
					default:
					}
					return
				}
				mu.Lock()
				defer mu.Unlock()
				last = answer
			})
		default:
		}
		select {
		case <-taken:
			return nil
		case <-ticker.C:
		case <-ctx.Done():
			mu.Lock()
			defer mu.Unlock()
			return fmt.Errorf("%s takes no event for %s; it last said: %s", target, probesEnd, last)
		}
	}
}

var prober = &http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}

// probe sends an event and records what came of it.
func (c *Config) probe(ctx context.Context, target string) (history.Operation, string) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	e := history.Event{UserID: probeUser, Type: c.EventType, Timestamp: time.Now().Add(-probeAge).Unix(), ID: uuid.NewString(), Valid: true}
	o := history.Operation{
		Client: probeClient, Kind: history.Send, Target: target, Events: []history.Event{e}, Outcomes: []history.Outcome{history.Unknown},
	}
	body := fmt.Appendf(nil, `{"user_id":%d,"event_type":%q,"timestamp":%d,"event_id":%q}`, e.UserID, e.Type, e.Timestamp, e.ID)
	o.Start = c.Recorder.Now()
	text := c.send(ctx, target, body, &o)
	o.End = c.Recorder.Now()
	c.Recorder.Record(o)
	return o, text
}

func (c *Config) send(ctx context.Context, target string, body []byte, o *history.Operation) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target+"/event", bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := prober.Do(request)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }() // it was read, or it failed
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	o.Status = response.StatusCode
	switch response.StatusCode {
	case http.StatusAccepted:
		o.Outcomes[0] = history.Accepted
		if response.Header.Get("Event-Status") == "duplicate" {
			o.Outcomes[0] = history.Duplicate
		}
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusRequestTimeout:
		o.Outcomes[0] = history.Refused
	}
	return fmt.Sprintf("%s %s", response.Status, text)
}
