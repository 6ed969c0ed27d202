package redis

import (
	"context"
	_ "embed"
	"math"
	"slices"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ingest"
	"highload.example/analytics/impl/stats"
)

// Counters holds the totals where all replicas find them.
type Counters struct{ client *Client }

var (
	_ ingest.Counters = (*Counters)(nil)
	_ stats.Live      = (*Counters)(nil)
)

//go:embed merge.lua
var mergeSource string

// What merge.lua is told about completeness.
const (
	leaveMarker = "0"
	setMarker   = "1"
)

// merge is one run of merge.lua, for one type or several.
type merge struct {
	keys []string
	args []any
	cmd  *goredis.Cmd
}

// typesPerMerge bounds how long one run keeps Redis from everybody else: it takes
// a microsecond or two per type.
const typesPerMerge = 200

func newMerge(marker string, capacity int) *merge {
	m := &merge{keys: make([]string, 0, capacity), args: make([]any, 0, 2+3*capacity)}
	m.args = append(m.args, countLife.Milliseconds(), marker)
	return m
}

// add adds the totals of one type. What is no count can't be merged: it is the same
// as none.
func (m *merge) add(key string, totals []event.Total) {
	m.keys = append(m.keys, key)
	at := len(m.args)
	m.args = append(m.args, 0)
	n := 0
	for _, t := range totals {
		if t.Count > 0 {
			m.args = append(m.args, int64(t.Slot), t.Count)
			n++
		}
	}
	m.args[at] = n
}

// Publish implements ingest.Counters and stats.Live: all types in one round trip,
// and unless Redis is a Cluster, in which each type has a place of its own, many in
// one script call. When it fails some types may have been merged.
func (c *Counters) Publish(ctx context.Context, totals []event.Total) error {
	if len(totals) == 0 {
		return nil
	}
	if !slices.IsSortedFunc(totals, byType) {
		totals = slices.Clone(totals)
		slices.SortStableFunc(totals, byType)
	}
	perMerge := typesPerMerge
	if c.client.cluster {
		perMerge = 1
	}
	var merges []*merge
	for len(totals) > 0 {
		n := 1
		for n < len(totals) && totals[n].Type == totals[0].Type {
			n++
		}
		if last := len(merges) - 1; last < 0 || len(merges[last].keys) == perMerge {
			merges = append(merges, newMerge(leaveMarker, min(len(totals), perMerge)))
		}
		merges[len(merges)-1].add(c.client.keys.count(totals[0].Type), totals[:n])
		totals = totals[n:]
	}
	return c.run(ctx, merges)
}

func byType(a, b event.Total) int { return strings.Compare(a.Type, b.Type) }

// run makes the merges. Servers that don't know the script, after a restart or a
// failover, get it with a second try: a script's fallback to EVAL needs the
// reply, which a pipeline has only at its end.
func (c *Counters) run(ctx context.Context, merges []*merge) error {
	err := c.pipeline(ctx, merges, func(p goredis.Pipeliner, m *merge) *goredis.Cmd {
		return c.client.merge.EvalSha(ctx, p, m.keys, m.args...)
	})
	unknown := merges[:0:0]
	for _, m := range merges {
		switch merr := m.cmd.Err(); {
		case isNoScript(merr):
			unknown = append(unknown, m)
		case merr != nil:
			return c.client.failed("merging totals", merr)
		}
	}
	if len(unknown) == 0 {
		if err != nil {
			return c.client.failed("merging totals", err)
		}
		return nil
	}
	err = c.pipeline(ctx, unknown, func(p goredis.Pipeliner, m *merge) *goredis.Cmd {
		return c.client.merge.Eval(ctx, p, m.keys, m.args...)
	})
	if err != nil {
		return c.client.failed("merging totals", err)
	}
	return nil
}

func (c *Counters) pipeline(ctx context.Context, merges []*merge, add func(goredis.Pipeliner, *merge) *goredis.Cmd) error {
	_, err := c.client.redis.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for _, m := range merges {
			m.cmd = add(p, m)
		}
		return nil
	})
	return err
}

// Count implements stats.Live.
func (c *Counters) Count(ctx context.Context, eventType string) (n int64, ok bool, err error) {
	fields, err := c.fields(ctx, eventType)
	if err != nil || fields[completeField] == "" {
		return 0, false, err
	}
	for field, value := range fields {
		if field == completeField {
			continue
		}
		t, valid := parseTotal(eventType, field, value)
		if !valid || n > math.MaxInt64-t.Count {
			return 0, false, nil // not ours: incomplete, and Fill will put it right
		}
		n += t.Count
	}
	return n, true, nil
}

// Totals implements stats.Live.
func (c *Counters) Totals(ctx context.Context, eventType string) ([]event.Total, error) {
	fields, err := c.fields(ctx, eventType)
	if err != nil {
		return nil, err
	}
	totals := make([]event.Total, 0, len(fields))
	for field, value := range fields {
		if t, ok := parseTotal(eventType, field, value); ok {
			totals = append(totals, t)
		}
	}
	return totals, nil
}

// fields reads the hash of a type. A key of another type holds none.
func (c *Counters) fields(ctx context.Context, eventType string) (map[string]string, error) {
	fields, err := c.client.redis.HGetAll(ctx, c.client.keys.count(eventType)).Result()
	switch {
	case isWrongType(err):
		return nil, nil
	case err != nil:
		return nil, c.client.failed("reading totals", err)
	}
	return fields, nil
}

func parseTotal(eventType, field, value string) (t event.Total, ok bool) {
	slot, ok := parseSlot(field)
	if !ok {
		return t, false
	}
	n, err := strconv.ParseInt(value, 10, 64)
	return event.Total{Type: eventType, Slot: slot, Count: n}, err == nil && n >= 0
}

// Fill implements stats.Live.
func (c *Counters) Fill(ctx context.Context, eventType string, totals []event.Total) error {
	own := make([]event.Total, 0, len(totals))
	for _, t := range totals {
		if t.Type == eventType {
			own = append(own, t)
		}
	}
	m := newMerge(setMarker, 1+len(own))
	m.add(c.client.keys.count(eventType), own)
	return c.run(ctx, []*merge{m})
}

// Generation implements stats.Live.
func (c *Counters) Generation() uint64 { return c.client.runs.generation() }

// Forget implements stats.Live.
func (c *Counters) Forget(ctx context.Context, eventType string) error {
	if err := c.client.redis.Del(ctx, c.client.keys.count(eventType)).Err(); err != nil {
		return c.client.failed("forgetting a type", err)
	}
	return nil
}
