package query

import (
	"errors"
	"slices"
	"sync"
	"time"
	_ "time/tzdata" // for machines without the time zone database
)

// Interval is the length of a bucket of time.
type Interval string

// The intervals, from the shortest.
const (
	Minute Interval = "minute"
	Hour   Interval = "hour"
	Day    Interval = "day"
	Week   Interval = "week" // from Monday (ISO 8601)
	Month  Interval = "month"
)

// intervals are all of them, from the shortest.
var intervals = []Interval{Minute, Hour, Day, Week, Month}

// locations are the time zones asked for so far. There are some six hundred names, so
// that they are few.
var locations sync.Map

var errZone = errors.New("no such time zone")

// LoadZone returns the time zone of an IANA name.
func LoadZone(name string) (*time.Location, error) {
	if known, ok := locations.Load(name); ok {
		return known.(*time.Location), nil //nolint:forcetypeassert // nothing else is stored
	}
	if name == "" || name == "Local" { // to package time these are names, too
		return nil, errZone
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, errZone
	}
	locations.Store(name, zone)
	return zone, nil
}

// Buckets are the calendar's buckets that a range touches.
type Buckets struct {
	Starts []int64 // where each begins, in Unix seconds; the first may begin before the range
	End    int64   // where the last ends, perhaps behind the range
	From   int64   // the range
	To     int64   // not included
}

// Edges returns the parts of the buckets that are in the range: part i is [i, i+1).
func (b *Buckets) Edges() []int64 {
	if len(b.Starts) == 0 {
		return []int64{b.From}
	}
	edges := slices.Clone(b.Starts)
	edges[0] = b.From
	return append(edges, b.To)
}

// Partial says whether bucket i is cut by the range, or isn't over at an instant.
func (b *Buckets) Partial(i int, now int64) bool {
	start, end := b.Starts[i], b.End
	if i+1 < len(b.Starts) {
		end = b.Starts[i+1]
	}
	return start < b.From || end > b.To || end > now
}

// MakeBuckets cuts a range along the calendar of a time zone. ok is false when there are
// more than MaxBuckets.
//
// A minute is one of UTC, as every zone's is since 1972. An hour begins with each full
// hour of the zone's clock and where the clock is set. A day begins at the first instant at which
// the clock shows its date, or a later one: mostly midnight, but there are
// zones that set the clock at midnight, or a minute after it and into the day before.
func MakeBuckets(from, to int64, interval Interval, zone *time.Location) (b *Buckets, ok bool) {
	b = &Buckets{From: from, To: to, End: from}
	if from >= to {
		return b, true
	}
	start, end := bucketOf(from, interval, zone)
	for {
		b.Starts = append(b.Starts, start)
		if end >= to {
			b.End = end
			return b, true
		}
		if len(b.Starts) == MaxBuckets {
			return nil, false
		}
		start, end = bucketOf(end, interval, zone)
	}
}

// smallestThatFits returns the shortest interval that cuts a range into at most
// MaxBuckets, or "" if none does.
func smallestThatFits(from, to int64, zone *time.Location) Interval {
	for _, interval := range intervals {
		if _, ok := MakeBuckets(from, to, interval, zone); ok {
			return interval
		}
	}
	return ""
}

// previous returns as many buckets before these, cut at their ends as these are.
func (b *Buckets) previous(interval Interval, zone *time.Location) *Buckets {
	n := len(b.Starts)
	if n == 0 {
		return &Buckets{From: b.From, To: b.To, End: b.End}
	}
	p := &Buckets{Starts: make([]int64, n), End: b.Starts[0]}
	for i, at := n-1, b.Starts[0]; i >= 0; i-- {
		at, _ = bucketOf(at-1, interval, zone)
		p.Starts[i] = at
	}
	ends := append(slices.Clone(p.Starts[1:]), p.End)
	// As far into its first and last bucket as this range is; February may have fewer days.
	p.From = min(p.Starts[0]+b.From-b.Starts[0], ends[0])
	p.To = min(p.Starts[n-1]+b.To-b.Starts[n-1], ends[n-1])
	if b.To == b.End {
		p.To = p.End
	}
	return p
}

// bucketOf returns the bounds of the bucket that an instant is in.
func bucketOf(at int64, interval Interval, zone *time.Location) (start, end int64) {
	switch interval {
	case Minute:
		start = at - mod(at, 60)
		return start, start + 60
	case Hour:
		return hourOf(at, zone)
	default:
	}
	local := time.Unix(at, 0).In(zone)
	year, month, day := local.Date()
	length := 1
	switch interval {
	case Week:
		day -= (int(local.Weekday()) + 6) % 7
		length = 7
	case Month:
		day = 1
	default:
	}
	// next is the date after this bucket's, which time.Date brings into order.
	next := func() (int, time.Month, int) {
		if interval == Month {
			return year, month + 1, 1
		}
		return year, month, day + length
	}
	// Where the clock is set back into the day before, that day is over already.
	for {
		y, m, d := next()
		if end = dateBegins(y, m, d, zone); at < end {
			return dateBegins(year, month, day, zone), end
		}
		year, month, day = y, m, d
	}
}

// dateBegins returns the first instant at which a zone's clock shows a date or a later
// one.
func dateBegins(year int, month time.Month, day int, zone *time.Location) int64 {
	midnight := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() // as the clock shows it
	// No zone is off by a day: the clock shows an earlier date then.
	for at := time.Unix(midnight-25*60*60, 0).In(zone); ; {
		_, offset := at.Zone()
		begin, end := at.ZoneBounds()
		first := midnight - int64(offset)
		if !begin.IsZero() {
			first = max(first, begin.Unix())
		}
		if end.IsZero() || first < end.Unix() {
			return first
		}
		at = end
	}
}

// hourOf returns the bounds of the hour that an instant is in.
func hourOf(at int64, zone *time.Location) (start, end int64) {
	_, offset := time.Unix(at, 0).In(zone).Zone()
	start = at - mod(at+int64(offset), 60*60)
	end = start + 60*60
	if changed := lastChange(at, zone); changed > start {
		start = changed
	}
	if changes := nextChange(at, zone); changes < end {
		end = changes
	}
	return start, end
}

// lastChange returns when a zone's clock was set last, not after an instant. Zones also
// change their names only, which is no change of the clock.
func lastChange(at int64, zone *time.Location) int64 {
	here := time.Unix(at, 0).In(zone)
	_, offset := here.Zone()
	for {
		begin, _ := here.ZoneBounds()
		if begin.IsZero() {
			return minInstant
		}
		before := begin.Add(-time.Second)
		if _, o := before.Zone(); o != offset {
			return begin.Unix()
		}
		if here = before; at-here.Unix() > 2*60*60 {
			return minInstant
		}
	}
}

// nextChange returns when a zone's clock is set next, after an instant.
func nextChange(at int64, zone *time.Location) int64 {
	here := time.Unix(at, 0).In(zone)
	_, offset := here.Zone()
	for {
		_, end := here.ZoneBounds()
		if end.IsZero() || end.Unix()-at > 2*60*60 {
			return maxInstant
		}
		if _, o := end.Zone(); o != offset {
			return end.Unix()
		}
		here = end
	}
}

const (
	minInstant = -1 << 62
	maxInstant = 1<<62 - 1
)

// mod is the remainder that is never negative.
func mod(n, by int64) int64 { return (n%by + by) % by }
