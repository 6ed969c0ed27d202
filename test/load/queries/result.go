package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// result is a query's result, the product's or that of SQL: numbers, none of them 0 but in
// the steps of funnels.
type result map[cell]string

// cell is the place of a number. Groups are JSON values, for which 1 is not "1", and no
// value is null.
type cell struct {
	group string
	at    int64 // Unix seconds of the bucket's begin, or whole; the number of a step
}

// whole is all buckets together.
const whole = -1

// step adds a step of a funnel.
func (r result) step(number int, users int64, median *int64) {
	r[cell{"users", int64(number)}] = strconv.FormatInt(users, 10)
	if median != nil {
		r[cell{"median", int64(number)}] = strconv.FormatInt(*median, 10)
	}
}

// differs says where two results differ, in an error that names a few places.
func (r result) differs(other result) error {
	var places []string
	for c := range other {
		if r[c] != other[c] {
			places = append(places, fmt.Sprintf("%s at %d: %q, not %q", c.group, c.at, r[c], other[c]))
		}
	}
	for c := range r {
		if _, there := other[c]; !there {
			places = append(places, fmt.Sprintf("%s at %d: %q, not there", c.group, c.at, r[c]))
		}
	}
	if len(places) == 0 {
		return nil
	}
	slices.Sort(places)
	n := len(places)
	return fmt.Errorf("%d numbers, such as %s", n, strings.Join(places[:min(n, 5)], "; "))
}

// loosened makes groups of texts, as ->> does: 1 and "1" are the same, and so are null and
// "null" here. The numbers of groups that become one can't be computed from theirs, those of
// users: the error says so.
func (r result) loosened() (result, error) {
	loose := result{}
	for _, c := range slices.SortedFunc(maps.Keys(r), func(x, y cell) int { return strings.Compare(x.group, y.group) }) {
		text := c.group
		if strings.HasPrefix(text, `"`) {
			if err := json.Unmarshal([]byte(c.group), &text); err != nil {
				return nil, fmt.Errorf("the group %s: %w", c.group, err)
			}
		}
		place := cell{text, c.at}
		if _, there := loose[place]; there {
			return nil, fmt.Errorf("the group %s differs from another by its type only: there is no looser result to compare", c.group)
		}
		loose[place] = r[c]
	}
	return loose, nil
}

// empty says that a result has nothing that could be compared.
func (r result) empty() bool {
	for _, number := range r {
		if number != "0" {
			return false
		}
	}
	return true
}
