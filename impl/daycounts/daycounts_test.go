package daycounts_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"highload.example/analytics/impl/daycounts"
)

func TestWhatIsPackedIsUnpacked(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var day daycounts.Day
		for range rapid.IntRange(0, 200).Draw(t, "n") {
			day[rapid.IntRange(0, daycounts.Minutes-1).Draw(t, "minute")] = rapid.Int64Range(0, 1<<62).Draw(t, "count")
		}
		var back daycounts.Day
		packed := daycounts.Append(nil, day[:])
		if err := daycounts.Each(packed, daycounts.Minutes, func(slot int, count int64) {
			if back[slot] != 0 || count <= 0 {
				t.Fatalf("slot %d: %d", slot, count)
			}
			back[slot] = count
		}); err != nil {
			t.Fatal(err)
		}
		if back != day {
			t.Fatalf("packed %v, unpacked %v", day, back)
		}
	})
}

func TestSizes(t *testing.T) {
	t.Parallel()
	var day daycounts.Day
	if n := len(daycounts.Append(nil, day[:])); n != 0 {
		t.Errorf("an empty day takes %d bytes", n)
	}
	day[1439] = 1
	if n := len(daycounts.Append(nil, day[:])); n != 4 {
		t.Errorf("one event takes %d bytes", n)
	}
	for i := range day {
		day[i] = 100
	}
	if n := len(daycounts.Append(nil, day[:])); n != daycounts.Minutes {
		t.Errorf("a full day takes %d bytes", n)
	}
	quarters := day.Quarters()
	if quarters[0] != 1500 || quarters[95] != 1500 || day.Sum() != 144_000 {
		t.Errorf("quarters %v, sum %d", quarters, day.Sum())
	}
}

func TestDamage(t *testing.T) {
	t.Parallel()
	for name, packed := range map[string][]byte{
		"a run of nothing":      {0, 0},
		"a run without length":  {1, 0},
		"half a number":         {0x80},
		"a run past the end":    {0, 4},
		"a count past the end":  {1, 1, 1, 1, 1},
		"a count out of range":  {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"a number out of range": {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2},
	} {
		if err := daycounts.Each(packed, 4, func(int, int64) {}); !errors.Is(err, daycounts.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever the edges, each minute's count gets into its bucket, and only what Cuts
// asks for is needed.
func TestSpread(t *testing.T) {
	t.Parallel()
	const monday = 1690156800
	rapid.Check(t, func(t *rapid.T) {
		step := rapid.SampledFrom([]int64{60, 900, 3600, 86400}).Draw(t, "step")
		at := monday + 60*rapid.Int64Range(-3000, 3000).Draw(t, "begin")/step*step
		edges := []int64{at}
		for range rapid.IntRange(1, 30).Draw(t, "buckets") {
			at += step * rapid.Int64Range(0, 3).Draw(t, "length")
			edges = append(edges, at)
		}
		var day daycounts.Day
		for range rapid.IntRange(0, 50).Draw(t, "n") {
			day[rapid.IntRange(0, daycounts.Minutes-1).Draw(t, "minute")]++
		}
		want := make([]int64, len(edges)-1)
		for minute, n := range day {
			for i := range want {
				if m := monday + int64(minute)*60; m >= edges[i] && m < edges[i+1] {
					want[i] += n
				}
			}
		}
		row := day.Pack()
		quarters, minutes := daycounts.Cuts(edges)
		if !slices.Contains(quarters, monday) {
			row.Quarters = nil
		}
		if !slices.Contains(minutes, monday) {
			row.Minutes = nil
		}
		got := make([]int64, len(edges)-1)
		if err := daycounts.Spread(edges, monday, row, func(bucket int, count int64) { got[bucket] += count }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("edges %v: got %v, want %v", edges, got, want)
		}
	})
}
