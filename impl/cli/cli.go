// Package cli holds the commands for people: they ask a running server questions, send
// it events, and move them out and in. They know of it only what the contract says.
package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Commands are what may be written on the command line.
type Commands struct {
	Query  Query  `cmd:"" help:"Ask a server about its events."`
	Send   Send   `cmd:"" help:"Send one event."`
	Tail   Tail   `cmd:"" help:"Print events as they arrive, until Ctrl-C."`
	Export Export `cmd:"" help:"Download events, as JSON lines or CSV."`
	Import Import `cmd:"" help:"Send a file of events, as JSON lines. It is safe to run twice."`
}

// Env is what a command works with.
type Env struct {
	Stdin    io.Reader
	Stdout   io.Writer
	Stderr   io.Writer
	Terminal bool // whether Stderr is one: then progress is drawn
	Now      func() time.Time
}

// Server says which server is meant.
type Server struct {
	URL     string        `name:"url" env:"ANALYTICS_URL" default:"http://localhost:8000" help:"Address of the server."`
	Timeout time.Duration `default:"30s" help:"How long to wait for one answer."`
}

// ErrRejected says that the server refused some events for good.
var ErrRejected = errors.New("events were rejected")

// problem is an answer that isn't what was asked for.
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Errors []struct {
		Pointer string `json:"pointer"`
		Code    string `json:"code"`
		Detail  string `json:"detail"`
	} `json:"errors"`
	retryAfter time.Duration
}

func (p *problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the server answered %d: %s", p.Status, p.Title)
	if p.Detail != "" {
		fmt.Fprintf(&b, ": %s", p.Detail)
	}
	for _, e := range p.Errors {
		fmt.Fprintf(&b, "; %s %s", e.Pointer, e.Detail)
	}
	return b.String()
}

// passing says whether the same request may be answered later.
func (p *problem) passing() bool {
	return p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable || p.Status >= 500
}

// maxAnswer bounds what is read of an answer that is no stream.
const maxAnswer = 256 << 20

// client has no time-out of its own: an answer may be a long stream. Every request has a context.
var client = &http.Client{Transport: &http.Transport{
	Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: time.Minute, IdleConnTimeout: time.Minute, DisableCompression: true,
}}

// open sends a request and returns the answer if it is a 2xx, and else a *problem.
func (s *Server) open(ctx context.Context, method, path string, query url.Values, body []byte, header ...string) (*http.Response, error) {
	target := strings.TrimRight(s.URL, "/") + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("--url: %q is no address of a server", s.URL)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return nil, fmt.Errorf("no answer from %s: %w; is the server running, and is --url right?", s.URL, err)
	}
	if response.StatusCode/100 == 2 {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()                // it was only read
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20)) // what there is of it
	p := &problem{}
	if json.Unmarshal(text, p) != nil || p.Title == "" {
		p.Title = http.StatusText(response.StatusCode)
	}
	p.Status = response.StatusCode
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
		p.retryAfter = time.Duration(seconds) * time.Second
	}
	return nil, p
}

// ask sends a request and reads the whole answer.
func (s *Server) ask(ctx context.Context, method, path string, query url.Values, body []byte, header ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	response, err := s.open(ctx, method, path, query, body, header...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return text, nil
}

// Range is a range of time as people write it.
type Range struct {
	From string `help:"Beginning, included: 2026-01-31, 2026-01-31T12:00:00Z, Unix seconds, now, or a time ago: 36h, 7d."`
	To   string `help:"End, not included, in the same forms."`
}

// seconds returns the range in Unix seconds; nil is an end that isn't given.
func (r *Range) seconds(now time.Time) (from, to *int64, err error) {
	read := func(flag, text string) *int64 {
		if text == "" {
			return nil
		}
		at, parseErr := parseTime(text, now)
		if parseErr != nil {
			err = errors.Join(err, fmt.Errorf("--%s: %w", flag, parseErr))
		}
		return &at
	}
	from, to = read("from", r.From), read("to", r.To)
	return from, to, err
}

// parseTime reads a point in time, in Unix seconds.
func parseTime(text string, now time.Time) (int64, error) {
	if text == "now" {
		return now.Unix(), nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		return n, nil
	}
	ago := strings.TrimPrefix(text, "-") // which a shell's flag needs an = for
	if days, ok := strings.CutSuffix(ago, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 {
			return now.AddDate(0, 0, -n).Unix(), nil
		}
	}
	if d, err := time.ParseDuration(ago); err == nil && d >= 0 {
		return now.Add(-d).Unix(), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.Unix(), nil
		}
	}
	return 0, fmt.Errorf("%q is no point in time: write 2026-01-31, 2026-01-31T12:00:00Z, Unix seconds, now, or a time ago like 36h or 7d", text)
}

// filter is a condition as the contract has it.
type filter struct {
	Field string          `json:"field"`
	Op    string          `json:"op"`
	Value json.RawMessage `json:"value,omitempty"`
}

// comparisons are how conditions are written, the longest signs first.
var comparisons = []struct{ sign, op string }{
	{"!=", "neq"}, {">=", "gte"}, {"<=", "lte"}, {"^=", "starts_with"}, {"=", "eq"}, {">", "gt"}, {"<", "lt"}, {"~", "contains"},
}

// parseFilter reads a condition: payload.plan=pro, payload.price>=10, payload.plan?.
// What is JSON on the right is meant as such, and everything else as text.
func parseFilter(text string) (filter, error) {
	if field, ok := strings.CutSuffix(text, "?"); ok {
		return filter{Field: field, Op: "exists"}, nil
	}
	at, length, op := -1, 0, ""
	for _, c := range comparisons {
		if i := strings.Index(text, c.sign); i > 0 && (at < 0 || i < at) {
			at, length, op = i, len(c.sign), c.op
		}
	}
	if at < 0 {
		return filter{}, fmt.Errorf("--where: %q is no condition: write payload.plan=pro, with one of = != > >= < <= ~ (contains) ^= (starts with), or payload.plan? (exists)", text)
	}
	value := []byte(text[at+length:])
	if !json.Valid(value) {
		var err error
		if value, err = json.Marshal(string(value)); err != nil {
			return filter{}, err
		}
	}
	return filter{Field: text[:at], Op: op, Value: value}, nil
}

func parseFilters(texts []string) ([]filter, error) {
	filters := make([]filter, 0, len(texts))
	for _, text := range texts {
		f, err := parseFilter(text)
		if err != nil {
			return nil, err
		}
		filters = append(filters, f)
	}
	return filters, nil
}

// Selection says which events are meant.
type Selection struct {
	Range
	Type  string   `help:"Only events of this type."`
	User  int64    `help:"Only events of this user."`
	Where []string `sep:"none" placeholder:"CONDITION" help:"Only events that fit, like payload.plan=pro; may be repeated: all have to fit."`
}

// query returns the parameters of a list.
func (s *Selection) query(now time.Time) (url.Values, error) {
	from, to, err := s.seconds(now)
	if err != nil {
		return nil, err
	}
	values := url.Values{}
	for name, at := range map[string]*int64{"from": from, "to": to} {
		if at != nil {
			values.Set(name, strconv.FormatInt(*at, 10))
		}
	}
	if s.Type != "" {
		values.Set("event_type", s.Type)
	}
	if s.User != 0 {
		values.Set("user_id", strconv.FormatInt(s.User, 10))
	}
	if len(s.Where) > 0 {
		filters, err := parseFilters(s.Where)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(filters)
		if err != nil {
			return nil, err
		}
		values.Set("filters", string(text))
	}
	return values, nil
}

// line is what the commands need of an event.
type line struct {
	UserID    int64           `json:"user_id"`
	EventType string          `json:"event_type"`
	Timestamp int64           `json:"timestamp"`
	EventID   string          `json:"event_id,omitempty"`
	Payload   json.RawMessage `json:"payload,omitempty"`
}

// cursor is the event's place in lists.
func (l *line) cursor() string {
	return fmt.Sprintf("%d_%s_%d", l.Timestamp, l.EventID, l.UserID)
}

// pause waits before try n, from 0, at least as long as the server asked for. It
// returns false when ctx ended first.
func pause(ctx context.Context, try int, err error, jitter func(time.Duration) time.Duration) bool {
	wait := min(100*time.Millisecond<<min(try, 10), 10*time.Second)
	wait = wait/2 + jitter(wait/2)
	var p *problem
	if errors.As(err, &p) {
		wait = max(wait, p.retryAfter)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
