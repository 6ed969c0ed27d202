// Package nemesis breaks a fleet: one fault after the other, and two at once, in an order
// that a seed decides and repeats.
package nemesis

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Step is a fault that lasts for a while.
type Step struct {
	Number  int           `json:"number"`
	Fault   string        `json:"fault"`
	Replica int           `json:"replica"` // where the fault is one of a replica
	Hold    time.Duration `json:"hold_ns"`
	Pause   time.Duration `json:"pause_ns"` // before the next
	// Also begins while this one lasts, and ends after it; empty: nothing does.
	Also string `json:"also,omitempty"`
}

// String names the step.
func (s Step) String() string {
	text := fmt.Sprintf("%s of %d for %s", s.Fault, s.Replica+1, s.Hold)
	if s.Also != "" {
		text += " and " + s.Also
	}
	return text
}

// pausesBetween is how long the fleet rests between two steps.
const leastPause, mostPause = 100 * time.Millisecond, 700 * time.Millisecond

// Schedule is the steps of a seed. It has no end: the same seed gives the same steps, and
// how many of them fit in a run is up to the machine.
type Schedule struct {
	rng      *rand.Rand
	faults   []*Fault
	replicas int
	round    []*Fault // what is left of this round
	rounds   int
	steps    int
}

// NewSchedule returns the schedule of a seed. Every fault occurs once in each round. From
// the second round on faults meet.
func NewSchedule(seed uint64, faults []*Fault, replicas int) *Schedule {
	return &Schedule{rng: rand.New(rand.NewPCG(seed, 0xadbe125a4)), faults: faults, replicas: replicas} //nolint:gosec // the same for the same seed is what it is for
}

// Next returns the next step.
func (s *Schedule) Next() Step {
	if len(s.round) == 0 {
		s.round = slices.Clone(s.faults)
		s.rng.Shuffle(len(s.round), func(i, j int) { s.round[i], s.round[j] = s.round[j], s.round[i] })
		s.rounds++
	}
	f := s.round[0]
	s.round = s.round[1:]
	s.steps++
	step := Step{
		Number: s.steps, Fault: f.Name, Replica: s.rng.IntN(s.replicas),
		Hold:  between(s.rng, f.least, f.most),
		Pause: between(s.rng, leastPause, mostPause),
	}
	// Drawn for every step: which faults may overlap must not change the rest of the schedule.
	also := s.faults[s.rng.IntN(len(s.faults))]
	if s.rounds > 1 && also.kind != f.kind && also.mixes && f.mixes {
		step.Also = also.Name
	}
	return step
}

// Sample returns one fault of each family, in the order in which a schedule of the same
// seed comes to them.
func Sample(seed uint64, faults []*Fault) []*Fault {
	byName := map[string]*Fault{}
	for _, f := range faults {
		byName[f.Name] = f
	}
	schedule := NewSchedule(seed, faults, 1)
	seen := map[string]bool{}
	var sample []*Fault
	for range faults {
		f := byName[schedule.Next().Fault]
		if !seen[f.Family] {
			seen[f.Family] = true
			sample = append(sample, f)
		}
	}
	return sample
}

// between draws a duration, in whole milliseconds.
func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return (least + time.Duration(rng.Int64N(int64(most-least)+1))).Truncate(time.Millisecond)
}

// Describe returns the first steps of a schedule, a line each.
func Describe(seed uint64, faults []*Fault, replicas, steps int) string {
	var b strings.Builder
	schedule := NewSchedule(seed, faults, replicas)
	for range steps {
		step := schedule.Next()
		fmt.Fprintf(&b, "%4d  %s\n", step.Number, step)
	}
	return b.String()
}
