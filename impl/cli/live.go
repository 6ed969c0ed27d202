package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Send sends one event.
type Send struct {
	Server
	Type    string `arg:"" help:"The event's type."`
	User    int64  `required:"" help:"Who did it."`
	At      string `default:"now" help:"When: now, 5m (ago), 2026-01-31T12:00:00Z, or Unix seconds."`
	Payload string `placeholder:"JSON" help:"A JSON object."`
	ID      string `name:"id" placeholder:"UUID" help:"Makes the event safe to send again."`
}

// Run sends the event.
func (c *Send) Run(ctx context.Context, env *Env) error {
	at, err := parseTime(c.At, env.Now())
	if err != nil {
		return fmt.Errorf("--at: %w", err)
	}
	if c.Payload != "" && !json.Valid([]byte(c.Payload)) {
		return fmt.Errorf("--payload: %q is not JSON; mind the shell's quotes", c.Payload)
	}
	body, err := json.Marshal(line{UserID: c.User, EventType: c.Type, Timestamp: at, EventID: c.ID, Payload: json.RawMessage(c.Payload)})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	response, err := c.open(ctx, http.MethodPost, "/event", nil, body)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "%s %s\n", response.Header.Get("Event-Status"), response.Header.Get("Event-Id"))
	return response.Body.Close()
}

// Tail prints events as they arrive.
type Tail struct {
	Server
	Type  string        `help:"Only events of this type."`
	User  int64         `help:"Only events of this user."`
	Where []string      `sep:"none" placeholder:"CONDITION" help:"Only events that fit, like payload.plan=pro; may be repeated."`
	Late  time.Duration `default:"2m" help:"How late an event may be and still be shown."`
	Every time.Duration `default:"1s" help:"How often to look."`
}

// Help is shown below the command's line.
func (*Tail) Help() string {
	return `Prints an event per line, as JSON. Events are shown in the order of their timestamps as far as they arrive in it.

Example: analytics tail --type purchase --where 'payload.price>=100'`
}

// Run prints events until ctx ends.
func (c *Tail) Run(ctx context.Context, env *Env) error {
	seen := map[string]int64{} // cursors, and their timestamps
	began := env.Now()
	ticker := time.NewTicker(c.Every)
	defer ticker.Stop()
	answered := began // when the server did last
	for first, failing := true, false; ; {
		now := env.Now()
		since := answered.Add(-c.Late).Unix()
		events, err := c.since(ctx, since, now)
		if ctx.Err() != nil {
			return nil // Ctrl-C is how it ends
		}
		var p *problem
		switch {
		case err == nil:
			answered, failing = now, false
		case first || errors.As(err, &p) && !p.passing():
			return err
		case !failing:
			// A server that restarts is no reason to stop watching.
			fmt.Fprintf(env.Stderr, "%v; trying again\n", err)
			failing = true
		}
		for _, raw := range events {
			var l line
			if err := json.Unmarshal(raw, &l); err != nil {
				return fmt.Errorf("the server's events can't be read: %w", err)
			}
			if _, known := seen[l.cursor()]; known {
				continue
			}
			seen[l.cursor()] = l.Timestamp
			if !first || l.Timestamp >= began.Unix() {
				fmt.Fprintf(env.Stdout, "%s\n", raw)
			}
		}
		for cursor, at := range seen {
			if at < since {
				delete(seen, cursor)
			}
		}
		first = false
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// maxTail bounds what is fetched at once.
const maxTail = 10_000

// since returns the events of the last while, the oldest first.
func (c *Tail) since(ctx context.Context, since int64, now time.Time) ([]json.RawMessage, error) {
	selection := Selection{Type: c.Type, User: c.User, Where: c.Where, Range: Range{From: strconv.FormatInt(max(since, 0), 10)}}
	query, err := selection.query(now)
	if err != nil {
		return nil, err
	}
	query.Set("limit", "1000")
	var events []json.RawMessage
	for len(events) < maxTail {
		text, err := c.ask(ctx, http.MethodGet, "/events", query, nil)
		if err != nil {
			return nil, err
		}
		var page struct {
			Events []json.RawMessage `json:"events"`
			Next   string            `json:"next_cursor"`
		}
		if err := json.Unmarshal(text, &page); err != nil {
			return nil, fmt.Errorf("the server's events can't be read: %w", err)
		}
		events = append(events, page.Events...)
		if page.Next == "" {
			break
		}
		query.Set("cursor", page.Next)
	}
	slices.Reverse(events)
	return events, nil
}
