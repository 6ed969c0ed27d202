package analytics

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"highload.example/analytics/sdk/go/internal/client"
)

// deliverer makes one request at a time.
type deliverer struct {
	api     *client.Client
	options *Options
	body    *bytes.Buffer // of a request that the server has read to its end, to be used again
	zip     *gzip.Writer
}

// verdict is what an answer says about one event; without a result it is to be sent again.
type verdict struct {
	result     Result
	code       string
	status     int
	violations []Violation
}

// answer is what came of one try.
type answer struct {
	all        verdict         // of every event that isn't in some
	some       map[int]verdict // by index
	again      bool            // events are to be sent again after a rest
	tooLarge   bool            // the batch is to be halved
	retryAfter time.Duration
	err        error // why again
}

func (a *answer) verdict(i int) verdict {
	if v, ok := a.some[i]; ok {
		return v
	}
	return a.all
}

// deliver sends a batch once. A transport of the caller's that panics costs a try, not the application.
func (d *deliverer) deliver(ctx context.Context, batch []item) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			a = answer{again: true, err: fmt.Errorf("the HTTP client panicked: %v", p)}
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, d.options.RequestTimeout)
	defer cancel()
	body, compressed := d.encode(batch)
	edit := func(_ context.Context, r *http.Request) error {
		if compressed {
			r.Header.Set("Content-Encoding", "gzip")
		}
		return nil
	}
	began := time.Now()
	length := body.Len()
	response, err := d.api.SendEventsWithBody(ctx, nil, "application/x-ndjson", bytes.NewReader(body.Bytes()), edit)
	if err != nil {
		return answer{again: true, err: err}
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	text, err := readAll(response)
	d.options.Logger.Debug("analytics: a batch was answered", "events", len(batch), "bytes", length, "status", response.StatusCode, "took", time.Since(began))
	if err != nil {
		return answer{again: true, err: fmt.Errorf("the answer (%d) broke off: %w", response.StatusCode, err)}
	}
	a = d.read(response, text, len(batch))
	// Nobody reads the request's body any more once the server has answered about all of it.
	if response.StatusCode == http.StatusAccepted {
		d.body = body
	}
	return a
}

// encode makes a body of a batch: one event per line.
func (d *deliverer) encode(batch []item) (body *bytes.Buffer, compressed bool) {
	body = d.body
	d.body = nil
	if body == nil {
		body = &bytes.Buffer{}
	}
	body.Reset()
	size := 0
	for i := range batch {
		size += batch[i].size()
	}
	compressed = !d.options.NoGzip && size >= minGzipBytes
	var w io.Writer = body
	if compressed {
		if d.zip == nil {
			// The network is seldom so slow that a better level is worth four times the time.
			d.zip, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level exists
		}
		d.zip.Reset(body)
		w = d.zip
	} else {
		body.Grow(size)
	}
	// Neither a buffer nor gzip into one can fail.
	for i := range batch {
		_, _ = w.Write(batch[i].line)
		_, _ = w.Write(newline)
	}
	if compressed {
		_ = d.zip.Close()
	}
	return body, compressed
}

var newline = []byte("\n")

// read understands an answer.
func (d *deliverer) read(response *http.Response, text []byte, events int) answer {
	retryAfter := parseRetryAfter(response.Header.Get("Retry-After"), time.Now())
	status := response.StatusCode
	switch {
	case status == http.StatusAccepted:
		a, err := readReceipt(text, events)
		if err != nil {
			return answer{again: true, err: fmt.Errorf("the answer is no receipt: %w", err)}
		}
		a.retryAfter = retryAfter
		if a.again {
			a.err = errors.New("the server doesn't know yet what became of some")
		}
		d.logRejected(&a)
		return a
	case status == http.StatusRequestEntityTooLarge && events > 1:
		return answer{tooLarge: true}
	case status == http.StatusRequestEntityTooLarge:
		problem := asError(response, text)
		v := verdict{result: Rejected, code: CodeContentTooLarge, status: status, violations: []Violation{{Code: CodeContentTooLarge, Detail: problem.Detail}}}
		a := answer{all: v}
		d.logRejected(&a)
		return a
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status < 400, status >= 500:
		// What isn't in the contract is from something in between, and passes.
		return answer{again: true, retryAfter: retryAfter, err: asError(response, text)}
	}
	problem := asError(response, text)
	d.options.Logger.Error("analytics: the server refuses events", "events", events, "error", problem)
	a := answer{all: verdict{result: Failed, code: problem.Code, status: status}, some: map[int]verdict{}}
	// When every event of a batch breaks the contract, the problem says how, of as many as it has room for.
	for _, violation := range problem.Violations {
		index, pointer, within := strings.Cut(strings.TrimPrefix(violation.Pointer, "/"), "/")
		if i, err := strconv.Atoi(index); err == nil && i >= 0 && i < events {
			v := a.verdict(i)
			if violation.Pointer = ""; within { // else the event as a whole
				violation.Pointer = "/" + pointer
			}
			v.violations = append(v.violations, violation)
			v.result, v.code, v.status = Rejected, v.violations[0].Code, 0
			a.some[i] = v
		}
	}
	if len(a.some) > 0 {
		a.all.result, a.all.status = Rejected, 0
	}
	return a
}

// logRejected says that events break the contract, and how the first of them does.
func (d *deliverer) logRejected(a *answer) {
	rejected, code := 0, a.all.code
	if a.all.result == Rejected {
		rejected++
	}
	for _, v := range a.some {
		if v.result == Rejected {
			rejected++
			code = v.code
		}
	}
	if rejected > 0 {
		d.options.Logger.Warn("analytics: events break the contract", "rejected", rejected, "code", code)
	}
}

// readReceipt understands what the server says about a batch, or finds that it can't have said that.
func readReceipt(text []byte, events int) (answer, error) {
	var receipt struct {
		Received  int `json:"received"`
		Duplicate int `json:"duplicate"`
		Rejected  int `json:"rejected"`
		Retry     int `json:"retry"`
		Results   []struct {
			Index  int                      `json:"index"`
			Status client.EventResultStatus `json:"status"`
			Errors []Violation              `json:"errors"`
		} `json:"results"`
	}
	if err := json.Unmarshal(text, &receipt); err != nil {
		return answer{}, err
	}
	if n := receipt.Received + receipt.Duplicate + receipt.Rejected + receipt.Retry; n != events {
		return answer{}, fmt.Errorf("it is about %d events, %d were sent", n, events)
	}
	a := answer{all: verdict{result: Accepted}, some: make(map[int]verdict, len(receipt.Results)), again: receipt.Retry > 0}
	counted := map[client.EventResultStatus]int{}
	for _, r := range receipt.Results {
		if r.Index < 0 || r.Index >= events {
			return answer{}, fmt.Errorf("it is about an event %d, %d were sent", r.Index, events)
		}
		v := verdict{}
		switch r.Status {
		case client.EventResultStatusReceived:
			v.result = Accepted
		case client.EventResultStatusDuplicate:
			v.result = Duplicate
		case client.EventResultStatusRejected:
			v.result, v.violations = Rejected, r.Errors
			if len(r.Errors) > 0 {
				v.code = r.Errors[0].Code
			}
		case client.EventResultStatusRetry:
		default:
			return answer{}, fmt.Errorf("it has an unknown status %q", r.Status)
		}
		if _, twice := a.some[r.Index]; twice {
			return answer{}, fmt.Errorf("it is about event %d twice", r.Index)
		}
		a.some[r.Index] = v
		counted[r.Status]++
	}
	if counted[client.EventResultStatusDuplicate] != receipt.Duplicate || counted[client.EventResultStatusRejected] != receipt.Rejected ||
		counted[client.EventResultStatusRetry] != receipt.Retry {
		return answer{}, errors.New("its numbers and its results differ")
	}
	return a, nil
}

// parseRetryAfter returns how long to wait: seconds, or the time until a date (RFC 9110, section 10.2.3). What it can't read is 0.
func parseRetryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// asError makes an error of an answer that isn't what was asked for.
func asError(response *http.Response, text []byte) *Error {
	e := &Error{}
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if media != "application/problem+json" || json.Unmarshal(text, e) != nil {
		*e = Error{Title: http.StatusText(response.StatusCode)}
	}
	e.Status = response.StatusCode
	e.RetryAfter = min(parseRetryAfter(response.Header.Get("Retry-After"), time.Now()), maxRetryAfter)
	return e
}

// readAll reads an answer that has a reasonable size.
func readAll(response *http.Response) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(response.Body, maxResponseBytes+1))
	if err == nil && len(text) > maxResponseBytes {
		err = errors.New("it is longer than anything that the server sends")
	}
	return text, err
}

func addUserAgent(_ context.Context, r *http.Request) error {
	r.Header.Set("User-Agent", "analytics-go/"+Version)
	return nil
}

// ownTransport is the usual one with connections of its own, which end with the client.
func ownTransport() http.RoundTripper {
	if usual, ok := http.DefaultTransport.(*http.Transport); ok {
		return usual.Clone()
	}
	return &http.Transport{Proxy: http.ProxyFromEnvironment}
}

// keepMethod follows no redirect that makes a GET of a POST.
func keepMethod(r *http.Request, via []*http.Request) error {
	if r.Method != via[0].Method {
		return http.ErrUseLastResponse
	}
	if len(via) >= 5 {
		return errors.New("too many redirects")
	}
	return nil
}
