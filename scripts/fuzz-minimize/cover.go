package main

import (
	"cmp"
	"slices"
)

// A feature is a block of code and a class of how often an input runs it.
type feature struct {
	block string
	class int
}

// class returns the class of a number of times: once, twice, 3-4, 5-8, 9-16 times
// or more.
func class(times int) int {
	limits := []int{1, 2, 4, 8, 16}
	for class, limit := range limits {
		if times <= limit {
			return class
		}
	}
	return len(limits)
}

// An input is a seed or a file, with what it covers.
type input struct {
	name     string
	features map[feature]bool
}

// cover returns the names of the candidates without which the fixed inputs and the
// other candidates cover the same. It leaves no candidate that could be spared.
func cover(fixed, candidates []input) (superfluous []string) {
	uncovered := map[feature]bool{}
	for _, in := range candidates {
		for f := range in.features {
			uncovered[f] = true
		}
	}
	for _, in := range fixed {
		for f := range in.features {
			delete(uncovered, f)
		}
	}
	// 1. Choose the input that covers most of the rest, until nothing is left: to find
	// the smallest set would take too long. Among equals the name decides.
	rest := slices.SortedFunc(slices.Values(candidates), func(a, b input) int { return cmp.Compare(a.name, b.name) })
	var chosen []input
	for len(uncovered) > 0 {
		best, most := 0, 0
		for i, in := range rest {
			if n := common(in.features, uncovered); n > most {
				best, most = i, n
			}
		}
		for f := range rest[best].features {
			delete(uncovered, f)
		}
		chosen = append(chosen, rest[best])
		rest = slices.Delete(rest, best, best+1)
	}
	for _, in := range rest {
		superfluous = append(superfluous, in.name)
	}
	// 2. Drop each input that those chosen after it made superfluous.
	inputs := map[feature]int{} // how many cover it
	for _, in := range slices.Concat(fixed, chosen) {
		for f := range in.features {
			inputs[f]++
		}
	}
	for _, in := range chosen {
		needed := false
		for f := range in.features {
			needed = needed || inputs[f] == 1
		}
		if needed {
			continue
		}
		for f := range in.features {
			inputs[f]--
		}
		superfluous = append(superfluous, in.name)
	}
	return superfluous
}

// common returns how many features are in both sets.
func common(a, b map[feature]bool) (n int) {
	for f := range a {
		if b[f] {
			n++
		}
	}
	return n
}
