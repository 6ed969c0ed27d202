package daycounts

import (
	"slices"
	"sort"
)

// Row is the counts of a type and day as they are kept.
type Row struct {
	Count    int64  // of the whole day
	Quarters []byte // packed, by the quarter hour; may be missing where it isn't needed
	Minutes  []byte // packed, by the minute; likewise
}

// Pack makes the row of a day.
func (d *Day) Pack() Row {
	quarters := d.Quarters()
	return Row{Count: d.Sum(), Quarters: Append(nil, quarters[:]), Minutes: Append(nil, d[:])}
}

// Begin returns when the day of an instant begins, in UTC. All times are in Unix seconds.
func Begin(at int64) int64 { return at - (at%DaySeconds+DaySeconds)%DaySeconds }

// Cuts returns the days which an edge cuts in two, those that need their quarter hours
// and those that need their minutes, each in order. Edges ascend and are on whole minutes.
func Cuts(edges []int64) (quarters, minutes []int64) {
	for _, edge := range edges {
		day := Begin(edge)
		switch {
		case edge == day:
		case (edge-day)%QuarterSeconds == 0:
			quarters = append(quarters, day)
		default:
			minutes = append(minutes, day)
		}
	}
	minutes = slices.Compact(minutes)
	quarters = slices.DeleteFunc(slices.Compact(quarters), func(day int64) bool {
		_, found := slices.BinarySearch(minutes, day)
		return found
	})
	return quarters, minutes
}

// Spread puts a day's counts into the buckets that they belong to: bucket i is
// [edges[i], edges[i+1]). What is outside of all is left out.
func Spread(edges []int64, day int64, row Row, add func(bucket int, count int64)) error {
	inner := sort.Search(len(edges), func(i int) bool { return edges[i] > day })
	put := func(at, count int64) {
		i := inner
		for i < len(edges) && edges[i] <= at {
			i++
		}
		if i > 0 && i < len(edges) {
			add(i-1, count)
		}
	}
	cut := int64(DaySeconds) // the largest slot that no edge cuts
	for i := inner; i < len(edges) && edges[i] < day+DaySeconds; i++ {
		if (edges[i]-day)%QuarterSeconds != 0 {
			cut = MinuteSeconds
			break
		}
		cut = QuarterSeconds
	}
	switch cut {
	case MinuteSeconds:
		return Each(row.Minutes, Minutes, func(slot int, count int64) { put(day+int64(slot)*MinuteSeconds, count) })
	case QuarterSeconds:
		return Each(row.Quarters, Quarters, func(slot int, count int64) { put(day+int64(slot)*QuarterSeconds, count) })
	}
	put(day, row.Count)
	return nil
}
