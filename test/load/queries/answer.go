package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// answer is what a question was answered with, by whoever it was asked: numbers, none of
// them 0 but in the steps of funnels.
type answer map[cell]string

// cell is the place of a number. Groups are JSON values, so that 1 is not "1", and no
// value is null.
type cell struct {
	group string
	at    int64 // Unix seconds of the bucket's begin, or whole; the number of a step
}

// whole is all buckets together.
const whole = -1

// step adds a step of a funnel.
func (a answer) step(number int, users int64, median *int64) {
	a[cell{"users", int64(number)}] = strconv.FormatInt(users, 10)
	if median != nil {
		a[cell{"median", int64(number)}] = strconv.FormatInt(*median, 10)
	}
}

// differs says where two answers differ, in an error that names a few places.
func (a answer) differs(from answer) error {
	var places []string
	for c := range from {
		if a[c] != from[c] {
			places = append(places, fmt.Sprintf("%s at %d: %q, not %q", c.group, c.at, a[c], from[c]))
		}
	}
	for c := range a {
		if _, there := from[c]; !there {
			places = append(places, fmt.Sprintf("%s at %d: %q, not there", c.group, c.at, a[c]))
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
// "null" here. The numbers of groups that become one can't be put together from theirs, those of
// users: the error says so.
func (a answer) loosened() (answer, error) {
	loose := answer{}
	for _, c := range slices.SortedFunc(maps.Keys(a), func(x, y cell) int { return strings.Compare(x.group, y.group) }) {
		text := c.group
		if strings.HasPrefix(text, `"`) {
			if err := json.Unmarshal([]byte(c.group), &text); err != nil {
				return nil, fmt.Errorf("the group %s: %w", c.group, err)
			}
		}
		at := cell{text, c.at}
		if _, there := loose[at]; there {
			return nil, fmt.Errorf("the group %s is another by its type only: there is no looser answer to compare", c.group)
		}
		loose[at] = a[c]
	}
	return loose, nil
}

// empty says that an answer has nothing that could be compared.
func (a answer) empty() bool {
	for _, number := range a {
		if number != "0" {
			return false
		}
	}
	return true
}
