package query

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"sort"
)

// Aggregator works out an Aggregation from events that are handed to it one by one, in
// any order: for stores that can't do it themselves.
type Aggregator struct {
	of     *Aggregation
	groups map[[MaxGroupBy]Value]*accumulator
	memory int64 // bytes, about
}

// maxMemory bounds what one question may hold, in bytes, about.
const maxMemory = 256 << 20

// accumulator is a group: the whole range at first, then a cell per bucket.
type accumulator struct {
	key   [MaxGroupBy]Value
	total cell
	cells map[int32]*cell
}

// cell holds what a metric needs.
type cell struct {
	n       int64              // events, or numbers
	users   map[int64]struct{} // unique_users
	sum     sum                // sum, avg
	extreme Number             // min, max
	numbers []Number           // percentiles
}

// NewAggregator returns an aggregator without events.
func NewAggregator(of *Aggregation) *Aggregator {
	return &Aggregator{of: of, groups: map[[MaxGroupBy]Value]*accumulator{}}
}

// Add takes an event in, which is in the slice but perhaps doesn't fit the condition. The
// error matches ErrTooExpensive when there are too many groups, users or numbers to
// hold, and else says that a payload is damaged.
func (g *Aggregator) Add(r *Row) error {
	fits, err := g.of.Slice.Condition.Match(r)
	if err != nil || !fits {
		return err
	}
	var key [MaxGroupBy]Value
	for i := range g.of.GroupBy {
		if key[i], err = g.of.GroupBy[i].Of(r); err != nil {
			return err
		}
	}
	number := None
	if g.of.Metric.Numeric() {
		v, err := g.of.Value.Of(r)
		if err != nil {
			return err
		}
		if v.Kind == KindNumber {
			number = Number(v.Text)
		}
	}
	group := g.groups[key]
	if group == nil {
		group = &accumulator{key: key}
		g.groups[key] = group
		g.memory += 256
		for _, v := range key {
			g.memory += int64(len(v.Text))
		}
	}
	g.take(&group.total, r, number)
	if g.of.Edges != nil {
		bucket := int32(sort.Search(len(g.of.Edges), func(i int) bool { return g.of.Edges[i] > r.OccurredAt }) - 1)
		c := group.cells[bucket]
		if c == nil {
			if group.cells == nil {
				group.cells = map[int32]*cell{}
			}
			c = &cell{}
			group.cells[bucket] = c
			g.memory += 128
		}
		g.take(c, r, number)
	}
	if g.memory > maxMemory {
		return fmt.Errorf("%w: it has too many groups, users or numbers to hold in memory; ask about a shorter range, or group by less", ErrTooExpensive)
	}
	return nil
}

// take adds an event to a cell.
func (g *Aggregator) take(c *cell, r *Row, number Number) {
	switch g.of.Metric {
	case Count:
		c.n++
		return
	case UniqueUsers:
		if c.users == nil {
			c.users = map[int64]struct{}{}
		}
		before := len(c.users)
		c.users[r.UserID] = struct{}{}
		g.memory += int64(len(c.users)-before) * 24
		return
	default:
	}
	if number == None {
		return
	}
	c.n++
	switch g.of.Metric {
	case Sum, Avg:
		c.sum.add(number)
	case Min:
		if c.extreme == None || number.Compare(c.extreme) < 0 {
			c.extreme = number
		}
	case Max:
		if c.extreme == None || number.Compare(c.extreme) > 0 {
			c.extreme = number
		}
	default:
		c.numbers = append(c.numbers, number)
		g.memory += 16 + int64(len(number))
	}
}

// merge adds one cell to another.
func (c *cell) merge(metric Metric, d *cell) {
	c.n += d.n
	switch metric {
	case UniqueUsers:
		if c.users == nil {
			c.users = make(map[int64]struct{}, len(d.users))
		}
		for user := range d.users {
			c.users[user] = struct{}{}
		}
	case Sum, Avg:
		c.sum.merge(&d.sum)
	case Min, Max:
		if d.extreme != None && (c.extreme == None || (d.extreme.Compare(c.extreme) < 0) == (metric == Min)) {
			c.extreme = d.extreme
		}
	default:
		c.numbers = append(c.numbers, d.numbers...)
	}
}

// number is the cell's metric.
func (c *cell) number(metric Metric) Number {
	if c == nil {
		c = &cell{}
	}
	switch metric {
	case Count:
		return Number(IntValue(c.n).Text)
	case UniqueUsers:
		return Number(IntValue(int64(len(c.users))).Text)
	default:
	}
	if c.n == 0 {
		return None
	}
	switch metric {
	case Sum:
		return c.sum.number()
	case Avg:
		return Quotient(c.sum.number(), c.n)
	case Min, Max:
		return c.extreme
	default:
		slices.SortFunc(c.numbers, Number.Compare)
		place := (int64(len(c.numbers))*int64(metric.Percentile()) + 99) / 100
		return c.numbers[place-1]
	}
}

// Table returns the answer.
func (g *Aggregator) Table() *Table {
	type ranked struct {
		*accumulator
		number Number
		exact  *big.Rat // of a mean, whose number is rounded
	}
	groups := make([]ranked, 0, len(g.groups)+1)
	for _, a := range g.groups {
		r := ranked{accumulator: a, number: a.total.number(g.of.Metric)}
		if g.of.Metric == Avg && r.number != None {
			r.exact = ratio(a.total.sum.number(), a.total.n)
		}
		groups = append(groups, r)
	}
	if len(g.of.GroupBy) == 0 && len(groups) == 0 {
		a := &accumulator{}
		groups = append(groups, ranked{accumulator: a, number: a.total.number(g.of.Metric)})
	}
	width := len(g.of.GroupBy)
	slices.SortFunc(groups, func(a, b ranked) int {
		keys := compareKeys(a.key[:width], b.key[:width])
		switch g.of.Order {
		case KeyAsc:
			return keys
		case KeyDesc:
			return -keys
		default:
		}
		switch {
		case a.number == None || b.number == None:
			return cmp.Or(cmp.Compare(len(b.number), len(a.number)), keys)
		case a.exact != nil:
			return cmp.Or(sign(g.of.Order)*a.exact.Cmp(b.exact), keys)
		}
		return cmp.Or(sign(g.of.Order)*a.number.Compare(b.number), keys)
	})

	table := &Table{}
	listed := min(len(groups), g.of.Limit)
	for _, r := range groups[:listed] {
		table.Groups = append(table.Groups, g.group(r.accumulator, r.number, slices.Clone(r.key[:width])))
	}
	if g.of.Other && listed < len(groups) {
		other := &accumulator{cells: map[int32]*cell{}}
		for _, r := range groups[listed:] {
			other.total.merge(g.of.Metric, &r.total)
			for bucket, c := range r.cells {
				if other.cells[bucket] == nil {
					other.cells[bucket] = &cell{}
				}
				other.cells[bucket].merge(g.of.Metric, c)
			}
		}
		group := g.group(other, other.total.number(g.of.Metric), nil)
		table.Other, table.OtherGroups = &group, int64(len(groups)-listed)
	}
	return table
}

// sign turns an ascending comparison into that of an order.
func sign(o Order) int {
	if o == ValueDesc {
		return -1
	}
	return 1
}

func (g *Aggregator) group(a *accumulator, number Number, key []Value) Group {
	group := Group{Key: key, Number: number}
	if g.of.Edges != nil {
		group.Cells = make([]Number, len(g.of.Edges)-1)
		for i := range group.Cells {
			group.Cells[i] = a.cells[int32(i)].number(g.of.Metric)
		}
	}
	return group
}

// sum adds decimals exactly. Most have a few digits: they are added as machine words, per
// number of digits behind the point.
type sum struct {
	small [maxSmallScale + 1]int64
	large *big.Int // times 10^scale
	scale int
}

// Numbers of at most this many digits, and this many behind the point, are small.
const (
	maxSmallDigits = 15
	maxSmallScale  = 6
)

func (s *sum) add(n Number) {
	if unscaled, scale, ok := smallDecimal(string(n)); ok {
		t := s.small[scale] + unscaled
		if (t > s.small[scale]) == (unscaled > 0) { // no overflow
			s.small[scale] = t
			return
		}
	}
	s.addLarge(n.scaled())
}

// smallDecimal reads a decimal that is small.
func smallDecimal(text string) (unscaled int64, scale int, ok bool) {
	point := -1
	negative := false
	digits := 0
	for i := range len(text) {
		switch c := text[i]; c {
		case '-':
			negative = true
		case '.':
			point = i
		default:
			unscaled = unscaled*10 + int64(c-'0')
			if digits++; digits > maxSmallDigits {
				return 0, 0, false
			}
		}
	}
	if point >= 0 {
		scale = len(text) - 1 - point
	}
	if negative {
		unscaled = -unscaled
	}
	return unscaled, scale, scale <= maxSmallScale
}

func (s *sum) addLarge(unscaled *big.Int, scale int) {
	if s.large == nil {
		s.large = new(big.Int)
	}
	if scale > s.scale {
		s.large.Mul(s.large, powerOfTen(scale-s.scale))
		s.scale = scale
	} else if scale < s.scale {
		unscaled = new(big.Int).Mul(unscaled, powerOfTen(s.scale-scale))
	}
	s.large.Add(s.large, unscaled)
}

func (s *sum) merge(t *sum) {
	for scale, n := range t.small {
		s.addLarge(big.NewInt(n), scale)
	}
	if t.large != nil {
		s.addLarge(t.large, t.scale)
	}
}

func (s *sum) number() Number {
	var whole sum
	whole.addLarge(new(big.Int), 0)
	for scale, n := range s.small {
		whole.addLarge(big.NewInt(n), scale)
	}
	if s.large != nil {
		whole.addLarge(s.large, s.scale)
	}
	return fromScaled(whole.large, whole.scale)
}

func powerOfTen(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}
