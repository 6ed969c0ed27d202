package analytics

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"

	"highload.example/analytics/sdk/go/internal/client"
)

// Range is a time from one moment, included, to another, not included, in Unix seconds; 0 leaves that end open.
type Range struct{ From, To int64 }

// Selection says which events are wanted; its zero value means all.
type Selection struct {
	Range
	Type   string // only events of this type
	UserID int64  // only events of this user
	// Filters are conditions on the events; Match says how many have to fit, all or any.
	Filters []Filter
	Match   Match
	// Cursor goes on behind an event that was seen: its Record.Cursor.
	Cursor string
}

// SeriesOptions say how to count over time; the zero value is the last 30 days in UTC.
type SeriesOptions struct {
	Range
	Interval Interval   // default: a day
	TZ       string     // default: UTC
	Compare  Comparison // ComparisonPrevious: with the period before
}

// Count returns how many events of a type there are, in a range or, with an empty one, since the beginning.
func (c *Client) Count(ctx context.Context, eventType string, in Range) (int64, error) {
	stats, err := answerOf[EventTypeStats](func() (*http.Response, error) {
		return c.api.GetEventTypeStats(ctx, eventType, &client.GetEventTypeStatsParams{From: optional(in.From), To: optional(in.To)})
	})
	if err != nil {
		return 0, err
	}
	return stats.Count, nil
}

// EventTypes lists the event types that begin with a prefix, the most frequent first, with their counts.
func (c *Client) EventTypes(ctx context.Context, prefix string) iter.Seq2[EventTypeStats, error] {
	type page struct {
		EventTypes []EventTypeStats `json:"event_types"`
		NextCursor string           `json:"next_cursor"`
	}
	return pages("", func(cursor string) ([]EventTypeStats, string, error) {
		p, err := answerOf[page](func() (*http.Response, error) {
			return c.api.ListEventTypeStats(ctx, &client.ListEventTypeStatsParams{
				Prefix: optional(prefix), Cursor: optional(cursor), Limit: optional(int32(pageEvents)),
			})
		})
		if err != nil {
			return nil, "", err
		}
		return p.EventTypes, p.NextCursor, nil
	})
}

// Series counts the events of a type over time.
func (c *Client) Series(ctx context.Context, eventType string, o SeriesOptions) (*EventTypeSeries, error) {
	return answerOf[EventTypeSeries](func() (*http.Response, error) {
		return c.api.GetEventTypeSeries(ctx, eventType, &client.GetEventTypeSeriesParams{
			Interval: optional(client.Interval(o.Interval)), Tz: optional(o.TZ), From: optional(o.From), To: optional(o.To),
			Compare: optional(client.Comparison(o.Compare)),
		})
	})
}

// Query counts, sums or ranks events by any property.
func (c *Client) Query(ctx context.Context, question Query) (*QueryResult, error) {
	return ask[QueryResult](ctx, question, c.api.QueryEventsWithBody)
}

// Funnel counts the users who take one step after the other.
func (c *Client) Funnel(ctx context.Context, question Funnel) (*FunnelResult, error) {
	return ask[FunnelResult](ctx, question, c.api.QueryFunnelWithBody)
}

// Retention counts the users who come back.
func (c *Client) Retention(ctx context.Context, question Retention) (*RetentionResult, error) {
	return ask[RetentionResult](ctx, question, c.api.QueryRetentionWithBody)
}

// Limits returns what the server takes.
func (c *Client) Limits(ctx context.Context) (*Limits, error) {
	return answerOf[Limits](func() (*http.Response, error) { return c.api.GetLimits(ctx) })
}

// pageEvents is how much is asked for at once.
const pageEvents = 1000

// Events lists events, the newest first, page by page as they are wanted.
func (c *Client) Events(ctx context.Context, s Selection) iter.Seq2[Record, error] {
	filters, err := s.filters()
	return pages(s.Cursor, func(cursor string) ([]Record, string, error) {
		if err != nil {
			return nil, "", err
		}
		return eventPage(func() (*http.Response, error) {
			return c.api.ListEvents(ctx, &client.ListEventsParams{
				EventType: optional(s.Type), UserID: optional(s.UserID), From: optional(s.From), To: optional(s.To), Filters: filters,
				Match: optional(client.FilterMatch(s.Match)), Cursor: optional(cursor), Limit: optional(client.Limit(pageEvents)),
			})
		})
	})
}

// UserEvents lists what a user did, the newest first, page by page as they are wanted.
func (c *Client) UserEvents(ctx context.Context, userID int64, s Selection) iter.Seq2[Record, error] {
	filters, err := s.filters()
	return pages(s.Cursor, func(cursor string) ([]Record, string, error) {
		if err != nil {
			return nil, "", err
		}
		return eventPage(func() (*http.Response, error) {
			return c.api.ListUserEvents(ctx, userID, &client.ListUserEventsParams{
				EventType: optional(s.Type), From: optional(s.From), To: optional(s.To), Filters: filters,
				Match: optional(client.FilterMatch(s.Match)), Cursor: optional(cursor), Limit: optional(client.Limit(pageEvents)),
			})
		})
	})
}

// Export streams events, the oldest first, however many there are. After an error it can be gone on with: set
// Selection.Cursor to the last record's.
func (c *Client) Export(ctx context.Context, s Selection) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		filters, err := s.filters()
		if err != nil {
			yield(Record{}, err)
			return
		}
		response, err := c.api.ExportEvents(ctx, &client.ExportEventsParams{
			EventType: optional(s.Type), UserID: optional(s.UserID), From: optional(s.From), To: optional(s.To), Filters: filters,
			Match: optional(client.FilterMatch(s.Match)), Cursor: optional(s.Cursor),
		})
		if err != nil {
			yield(Record{}, fmt.Errorf("analytics: %w", err))
			return
		}
		defer func() { _ = response.Body.Close() }() // it was only read
		if response.StatusCode != http.StatusOK {
			text, _ := readAll(response) // the status says enough
			yield(Record{}, asError(response, text))
			return
		}
		for lines := bufio.NewReader(response.Body); ; {
			line, err := lines.ReadBytes('\n')
			if errors.Is(err, io.EOF) && len(line) == 0 {
				return
			}
			var record Record
			if err == nil || errors.Is(err, io.EOF) {
				record, err = parseRecord(line)
			}
			if err != nil {
				yield(Record{}, fmt.Errorf("analytics: the export broke off: %w", err))
				return
			}
			if !yield(record, nil) {
				return
			}
		}
	}
}

// filters returns the filters as a parameter, nil for none.
func (s *Selection) filters() (*string, error) {
	if len(s.Filters) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(s.Filters)
	if err != nil {
		return nil, fmt.Errorf("analytics: the filters have no JSON form: %w", err)
	}
	return optional(string(text)), nil
}

// optional returns nil for the zero value, which stands for what isn't said.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// pages lists what follows a cursor, page after page.
func pages[T any](cursor string, next func(cursor string) ([]T, string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for cursor := cursor; ; {
			page, following, err := next(cursor)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, v := range page {
				if !yield(v, nil) {
					return
				}
			}
			if following == "" {
				return
			}
			cursor = following
		}
	}
}

func eventPage(send func() (*http.Response, error)) ([]Record, string, error) {
	type page struct {
		Events     []json.RawMessage `json:"events"`
		NextCursor string            `json:"next_cursor"`
	}
	p, err := answerOf[page](send)
	if err != nil {
		return nil, "", err
	}
	records := make([]Record, len(p.Events))
	for i, text := range p.Events {
		if records[i], err = parseRecord(text); err != nil {
			return nil, "", fmt.Errorf("analytics: the answer can't be read: %w", err)
		}
	}
	return records, p.NextCursor, nil
}

// ask sends a question in the body.
func ask[A any](
	ctx context.Context, question any,
	send func(ctx context.Context, contentType string, body io.Reader, editors ...client.RequestEditorFn) (*http.Response, error),
) (*A, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return nil, fmt.Errorf("analytics: the question has no JSON form: %w", err)
	}
	return answerOf[A](func() (*http.Response, error) { return send(ctx, "application/json", bytes.NewReader(body)) })
}

// answerOf asks and reads the answer. Numbers in what may be any JSON keep their digits.
func answerOf[A any](send func() (*http.Response, error)) (*A, error) {
	response, err := send()
	if err != nil {
		return nil, fmt.Errorf("analytics: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	text, err := readAll(response)
	if err != nil {
		return nil, fmt.Errorf("analytics: the answer broke off: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, asError(response, text)
	}
	var a A
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&a); err != nil {
		return nil, fmt.Errorf("analytics: the answer can't be read: %w", err)
	}
	return &a, nil
}
