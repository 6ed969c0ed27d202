package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// What is queried: a type with 5.9 % of the events, see load/dataset; a property that most
// events have as a string, some as null and some not at all; and one that is a
// number here and a string there, which only comes to light when types are kept.
const (
	sliceType   = "type01"
	plain       = "plan"
	mixed       = "version"
	daySeconds  = 86_400
	sliceDays   = 30
	funnelDays  = 7
	funnelHours = 24
)

var funnelTypes = [3]string{"type01", "type02", "type03"}

// period is [from, to), in Unix seconds.
type period struct{ from, to int64 }

// days returns the last whole days of a zone that end before an instant.
func days(end int64, n int, zone *time.Location) period {
	at := time.Unix(end, 0).In(zone)
	to := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, zone)
	return period{to.AddDate(0, 0, -n).Unix(), to.Unix()}
}

// starts returns where the days of a period of UTC begin.
func (p period) starts() []time.Time {
	var all []time.Time
	for at := p.from; at < p.to; at += daySeconds {
		all = append(all, time.Unix(at, 0).UTC())
	}
	return all
}

// countQuery is a query whose cost shouldn't depend on how many events there are.
type countQuery struct {
	name string
	goal bool // the issue sets one
	plan string
	request
}

// countQueries returns those about the month before an instant.
func countQueries(end int64) ([]countQuery, error) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return nil, fmt.Errorf("a time zone: %w", err)
	}
	path := "/stats/" + sliceType
	of := func(suffix string, p period, more url.Values) request {
		more.Set("from", strconv.FormatInt(p.from, 10))
		more.Set("to", strconv.FormatInt(p.to, 10))
		return request{method: http.MethodGet, path: path + suffix + "?" + more.Encode()}
	}
	utc := days(end, sliceDays, time.UTC)
	daily := func(zone string) url.Values { return url.Values{"interval": {"day"}, "tz": {zone}} }
	return []countQuery{
		{name: "`GET /stats/{type}`", goal: true, plan: "totals", request: request{method: http.MethodGet, path: path}},
		{name: "the same with `from` and `to`, 30 days", goal: true, plan: "counts", request: of("", utc, url.Values{})},
		{
			name: "the same, to the second: from 7:13:21 to 17:42:05", plan: "counts+rows",
			request: of("", period{utc.from + 26_001, utc.to - daySeconds + 63_725}, url.Values{}),
		},
		{name: "30-day daily series, UTC", goal: true, plan: "counts", request: of("/series", utc, daily("UTC"))},
		{name: "30-day daily series, Europe/Berlin", goal: true, plan: "counts", request: of("/series", days(end, sliceDays, berlin), daily("Europe/Berlin"))},
	}, nil
}

// query has hand-written statements for the same response.
type query struct {
	name string
	request
	read       func([]byte) (result, error)
	statements []statement
	// compared says that only its result is of interest, not its cost.
	compared bool
}

// queries returns those about the days before an instant, with the SQL of a store.
func queries(store string, end int64) []query {
	month, week := days(end, sliceDays, time.UTC), days(end, funnelDays, time.UTC)
	sql := postgresSQL
	if store == sqlite {
		sql = sqliteSQL
	}
	return []query{
		{
			name: "count of the slice by a property, daily", request: grouped("count", plain, month), read: readGroups,
			statements: sql.counts(plain, month),
		},
		{
			name: "unique users of the slice by a property, daily", request: grouped("unique_users", plain, month), read: readGroups,
			statements: sql.users(plain, month),
		},
		{
			name: "funnel of three steps over 7 days", request: funnel(week), read: readFunnel,
			statements: sql.funnel(week),
		},
		{
			name: "count by a property that is a number or a string", request: grouped("count", mixed, month), read: readGroups,
			statements: strict(sql.counts(mixed, month)), compared: true,
		},
		{
			name: "unique users by a property that is a number or a string", request: grouped("unique_users", mixed, month), read: readGroups,
			statements: strict(sql.users(mixed, month)), compared: true,
		},
	}
}

func post(path string, body map[string]any) request {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // it is all numbers and texts
	}
	return request{method: http.MethodPost, path: path, body: text}
}

func grouped(metric, property string, p period) request {
	return post("/query", map[string]any{
		"metric": metric, "event_types": []string{sliceType}, "from": p.from, "to": p.to, "interval": "day",
		"group_by": []string{"payload." + property},
	})
}

func funnel(p period) request {
	var steps []map[string]string
	for _, t := range funnelTypes {
		steps = append(steps, map[string]string{"event_type": t})
	}
	return post("/query/funnel", map[string]any{"steps": steps, "window": funnelHours * 3600, "from": p.from, "to": p.to})
}

// readGroups reads the response to POST /query by one property.
func readGroups(body []byte) (result, error) {
	var response struct {
		Buckets []struct {
			Start int64 `json:"start"`
		} `json:"buckets"`
		Groups []struct {
			Key    []json.RawMessage `json:"key"`
			Value  json.Number       `json:"value"`
			Values []json.Number     `json:"values"`
		} `json:"groups"`
		Other json.RawMessage `json:"other"`
	}
	if err := json.Unmarshal(body, &response); err != nil {
		return nil, fmt.Errorf("reading the response to POST /query: %w", err)
	}
	r := result{}
	for _, g := range response.Groups {
		if len(g.Key) != 1 || len(g.Values) != len(response.Buckets) {
			return nil, fmt.Errorf("the response to POST /query has a group with %d keys and %d values for %d buckets", len(g.Key), len(g.Values), len(response.Buckets))
		}
		var key bytes.Buffer
		if err := json.Compact(&key, g.Key[0]); err != nil {
			return nil, fmt.Errorf("reading the response to POST /query: %w", err)
		}
		r[cell{key.String(), whole}] = g.Value.String()
		for i, v := range g.Values {
			if v != "0" { // SQL has no row for it
				r[cell{key.String(), response.Buckets[i].Start}] = v.String()
			}
		}
	}
	if response.Other != nil {
		return nil, errors.New("the response to POST /query doesn't list all groups")
	}
	return r, nil
}

// readFunnel reads the response to POST /query/funnel.
func readFunnel(body []byte) (result, error) {
	var response struct {
		Steps []struct {
			Users  int64  `json:"users"`
			Median *int64 `json:"median_seconds"`
		} `json:"steps"`
	}
	if err := json.Unmarshal(body, &response); err != nil {
		return nil, fmt.Errorf("reading the response to POST /query/funnel: %w", err)
	}
	r := result{}
	for i, step := range response.Steps {
		r.step(i, step.Users, step.Median)
	}
	return r, nil
}
