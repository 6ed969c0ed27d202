package workload

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"highload.example/analytics/impl/contract"
	"highload.example/analytics/test/torture/history"
)

// form is how events are sent.
type form struct {
	single     bool // POST /event
	idInHeader bool // of a single one, as a balancer would
	lines      bool // NDJSON
	envelope   bool
	gzip       bool
	verbose    bool
	atomic     bool
}

// exchange sends events and says what came of it.
func (w *Clients) exchange(number int, target string, f form, events []history.Event) history.Operation {
	o := history.Operation{Client: number, Kind: history.Batch, Target: target, Events: events, Atomic: f.atomic}
	path, mediaType, header := "/events", "application/json", http.Header{}
	var body []byte
	switch {
	case f.single:
		o.Kind, path = history.Send, "/event"
		body = appendEvent(nil, &events[0], !f.idInHeader)
		if f.idInHeader {
			header.Set("Idempotency-Key", events[0].ID)
		}
	case f.lines:
		mediaType = "application/x-ndjson"
		for i := range events {
			body = append(appendEvent(body, &events[i], true), '\n')
		}
	default:
		before, after := "[", "]"
		if f.envelope {
			before, after = `{"events":[`, "]}"
		}
		body = append(body, before...)
		for i := range events {
			if i > 0 {
				body = append(body, ',')
			}
			body = appendEvent(body, &events[i], true)
		}
		body = append(body, after...)
	}
	var options []string
	if f.verbose && !f.single {
		options = append(options, "verbose=true")
	}
	if f.atomic {
		options = append(options, "atomic=true")
	}
	if len(options) > 0 {
		path += "?" + strings.Join(options, "&")
	}
	header.Set("Content-Type", mediaType)
	if f.gzip {
		header.Set("Content-Encoding", "gzip")
		body = compressed(body)
	}
	a := w.do(&o, http.MethodPost, path, header, body)
	o.Outcomes = slices.Repeat([]history.Outcome{outcomeOf(o.Status)}, len(events))
	if o.Status != http.StatusAccepted {
		return o
	}
	if f.single {
		o.Outcomes[0], a.problem = readReceipt(a, events[0].ID)
	} else {
		a.problem = readBatchReceipt(a, events, o.Outcomes)
	}
	o.Problem = or(o.Problem, a.problem)
	return o
}

// outcomeOf is what an answer says by its status alone.
func outcomeOf(status int) history.Outcome {
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return history.Rejected
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return history.Refused
	default:
		return history.Unknown
	}
}

// answer is what a server said.
type answer struct {
	header  http.Header
	body    []byte
	problem string
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 16 << 20

// do makes a request, holds the answer against the contract, and notes times, status
// and what is wrong. Without a whole answer the status is 0: half of one says nothing.
func (w *Clients) do(o *history.Operation, method, path string, header http.Header, body []byte) answer {
	ctx, cancel := context.WithTimeout(context.Background(), w.config.Timeout)
	defer cancel()
	o.Start = w.config.Recorder.Now()
	a, request, status, err := w.roundTrip(ctx, method, o.Target+path, header, body)
	o.End = w.config.Recorder.Now()
	if err != nil {
		return answer{}
	}
	o.Status = status
	if err := contract.Check(request, status, a.header, a.body); err != nil {
		o.Problem = fmt.Sprintf("%s %s: %.500v; the body is %.300q", method, path, err, a.body)
	}
	return a
}

func (w *Clients) roundTrip(ctx context.Context, method, url string, header http.Header, body []byte) (answer, *http.Request, int, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return answer{}, nil, 0, fmt.Errorf("making a request: %w", err)
	}
	request.Header = header
	response, err := w.http.Do(request)
	if err != nil {
		return answer{}, nil, 0, err
	}
	defer func() { _ = response.Body.Close() }() // it was read, or there is an error already
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return answer{header: response.Header, body: text}, request, response.StatusCode, err
}

// readReceipt reads the answer to a single event.
func readReceipt(a answer, id string) (outcome history.Outcome, problem string) {
	switch status := a.header.Get("Event-Status"); status {
	case "accepted":
		outcome = history.Accepted
	case "duplicate":
		outcome = history.Duplicate
	default:
		return history.Unknown, fmt.Sprintf("the Event-Status is %q", status)
	}
	if got := a.header.Get("Event-Id"); got != id {
		problem = fmt.Sprintf("the Event-Id is %q, and %s was sent", got, id)
	}
	return outcome, problem
}

// readBatchReceipt reads the answer to a batch. What can't be understood leaves
// every outcome unknown.
func readBatchReceipt(a answer, events []history.Event, outcomes []history.Outcome) (problem string) {
	var receipt struct {
		Received  int `json:"received"`
		Duplicate int `json:"duplicate"`
		Rejected  int `json:"rejected"`
		Retry     int `json:"retry"`
		Results   []struct {
			Index   int    `json:"index"`
			EventID string `json:"event_id"`
			Status  string `json:"status"`
		} `json:"results"`
	}
	if err := json.Unmarshal(a.body, &receipt); err != nil {
		return "the receipt can't be read: " + err.Error()
	}
	read := slices.Repeat([]history.Outcome{history.Accepted}, len(events))
	last := -1
	for _, r := range receipt.Results {
		if r.Index <= last || r.Index >= len(events) {
			return fmt.Sprintf("the receipt of %d events lists number %d after %d", len(events), r.Index, last)
		}
		last = r.Index
		if r.EventID != "" && r.EventID != events[r.Index].ID {
			return fmt.Sprintf("the receipt names %s at %d, and %s was sent", r.EventID, r.Index, events[r.Index].ID)
		}
		switch r.Status {
		case "received":
		case "duplicate":
			read[r.Index] = history.Duplicate
		case "rejected":
			read[r.Index] = history.Rejected
		case "retry":
			read[r.Index] = history.Retry
		default:
			return fmt.Sprintf("the receipt says %q at %d", r.Status, r.Index)
		}
	}
	counted := map[history.Outcome]int{}
	for _, outcome := range read {
		counted[outcome]++
	}
	claimed := map[history.Outcome]int{
		history.Accepted: receipt.Received, history.Duplicate: receipt.Duplicate, history.Rejected: receipt.Rejected, history.Retry: receipt.Retry,
	}
	for outcome, n := range claimed {
		if counted[outcome] != n {
			return fmt.Sprintf("the receipt counts %d events as %s and lists %d", n, outcome, counted[outcome])
		}
	}
	copy(outcomes, read)
	if receipt.Retry > 0 && a.header.Get("Retry-After") == "" {
		return "events are to be sent again, and no Retry-After says when"
	}
	return ""
}

func compressed(body []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(body) // a buffer takes everything
	_ = z.Close()
	return b.Bytes()
}

// or returns the first text that isn't empty.
func or(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
