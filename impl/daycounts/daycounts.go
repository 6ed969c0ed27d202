// Package daycounts packs the events of one type and day, counted by the minute, into
// a few bytes: the databases keep a row of them per type and day, so that a month of
// counts is thirty rows and not forty thousand.
//
// The format is a list of unsigned varints (Protocol Buffers' base 128). One that is
// not 0 is the next count. A 0 is followed by how many counts in a row are 0. Zeros at
// the end are left out.
package daycounts

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A day's slots. Since 1972 no time zone is off UTC by anything but whole quarter
// hours, so that quarter hours of UTC make up every zone's days.
const (
	Minutes  = 24 * 60
	Quarters = 24 * 4

	DaySeconds     = 24 * 60 * 60
	MinuteSeconds  = 60
	QuarterSeconds = 15 * 60
)

// ErrDamaged says that packed counts can't be read.
var ErrDamaged = errors.New("packed counts are damaged")

// Day is the counts of one day by the minute.
type Day [Minutes]int64

// Quarters returns the counts by the quarter hour.
func (d *Day) Quarters() (quarters [Quarters]int64) {
	for i, n := range d {
		quarters[i/(Minutes/Quarters)] += n
	}
	return quarters
}

// Sum returns the count of the whole day.
func (d *Day) Sum() (sum int64) {
	for _, n := range d {
		sum += n
	}
	return sum
}

// Append packs counts and appends them to packed. No count may be negative.
func Append(packed []byte, counts []int64) []byte {
	for i := 0; i < len(counts); {
		if counts[i] != 0 {
			packed = binary.AppendUvarint(packed, uint64(counts[i]))
			i++
			continue
		}
		begin := i
		for i < len(counts) && counts[i] == 0 {
			i++
		}
		if i < len(counts) {
			packed = append(packed, 0)
			packed = binary.AppendUvarint(packed, uint64(i-begin))
		}
	}
	return packed
}

// Each unpacks at most slots counts and calls yield with each that isn't 0, in order. It
// returns ErrDamaged for anything that Append didn't write.
func Each(packed []byte, slots int, yield func(slot int, count int64)) error {
	for slot := 0; len(packed) > 0; slot++ {
		n, size := binary.Uvarint(packed)
		if size <= 0 || slot >= slots {
			return fmt.Errorf("%w: at slot %d of %d", ErrDamaged, slot, slots)
		}
		packed = packed[size:]
		if n > 0 {
			if n > 1<<63-1 {
				return fmt.Errorf("%w: a count is out of range", ErrDamaged)
			}
			yield(slot, int64(n))
			continue
		}
		run, size := binary.Uvarint(packed)
		if size <= 0 || run == 0 || run >= uint64(slots-slot) {
			return fmt.Errorf("%w: at slot %d of %d", ErrDamaged, slot, slots)
		}
		packed = packed[size:]
		slot += int(run) - 1
	}
	return nil
}
