package nemesis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"highload.example/analytics/test/fleet"
	"highload.example/analytics/test/torture/check"
	"highload.example/analytics/test/torture/history"
)

// Config says what is broken, and how that is watched.
type Config struct {
	Fleet  *fleet.Fleet
	Faults []*Fault
	Seed   uint64
	// Steps is how many there are; 0: as many as there is time for.
	Steps    int
	Recorder *history.Recorder
	// EventType is the type of the events that find out whether the service is back.
	EventType string
	// Bound is how long every replica may take to accept events again after the repair.
	Bound time.Duration
	// OnStep hears of every step when it is over.
	OnStep func(Result)
}

// Result is what came of a step.
type Result struct {
	Step
	From int64 `json:"from"` // nanoseconds since the run's start: when it was injected
	To   int64 `json:"to"`   // when it was repaired
	// First is how long after that the first event was taken, by way of the balancer if
	// there is one; All, when every replica had taken one.
	First time.Duration `json:"first_ns"`
	All   time.Duration `json:"all_ns"`
	Late  bool          `json:"late,omitempty"` // All took longer than it may

	redis, panics, database bool
}

// Run breaks things until ctx is done or all steps are; a step that has begun is ended. An error
// says that a fault could not be injected or repaired, or that something else broke: then
// nothing that follows would mean anything. What was broken is repaired all the same.
func Run(ctx context.Context, c Config) ([]Result, error) {
	byName := map[string]*Fault{}
	for _, f := range c.Faults {
		byName[f.Name] = f
	}
	schedule := NewSchedule(c.Seed, c.Faults, len(c.Fleet.Replicas))
	var results []Result
	for ctx.Err() == nil && (c.Steps == 0 || len(results) < c.Steps) {
		step := schedule.Next()
		faults := []*Fault{byName[step.Fault]}
		if step.Also != "" {
			faults = append(faults, byName[step.Also])
		}
		// Not ctx: a step that has begun is ended.
		result, err := c.play(context.WithoutCancel(ctx), step, faults)
		results = append(results, result)
		if err != nil {
			return results, fmt.Errorf("step %d, %s: %w", step.Number, step, err)
		}
		if c.OnStep != nil {
			c.OnStep(result)
		}
		wait(ctx, step.Pause)
	}
	return results, nil
}

// wait returns after a time, or when ctx is done.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// play plays a step: it injects, holds, repairs, and waits until the service is back.
func (c *Config) play(ctx context.Context, step Step, faults []*Fault) (result Result, err error) {
	result = Result{Step: step, From: c.Recorder.Now()}
	t := target{fleet: c.Fleet, replica: c.Fleet.Replicas[step.Replica]}
	var repairs []repair
	var first *Fault
	for i, f := range faults {
		result.redis, result.panics = result.redis || f.redis, result.panics || f.panics
		result.database = result.database || f.kind == postgresKind || f.kind == diskKind || f.kind == networkKind+"postgres"
		fix, injecting := f.inject(ctx, t)
		if fix.heal != nil {
			// What a replica needs to start is repaired before the replica.
			if first != nil && first.kind == replicaKind {
				repairs = append([]repair{fix}, repairs...)
			} else {
				repairs = append(repairs, fix)
			}
		}
		if first == nil {
			first = f
		}
		if injecting != nil {
			err = fmt.Errorf("injecting %s: %w", f.Name, injecting)
			break
		}
		// The second begins while the first lasts.
		wait(ctx, step.Hold/time.Duration(len(faults)+i))
	}
	for _, fix := range repairs {
		if healing := fix.heal(ctx); healing != nil {
			err = errors.Join(err, fmt.Errorf("repairing: %w", healing))
		}
	}
	result.To = c.Recorder.Now()
	if err != nil {
		return result, err
	}
	if result.First, result.All, err = c.awaitService(ctx); err != nil {
		return result, err
	}
	result.Late = result.All > c.Bound
	for _, fix := range repairs {
		if fix.restore != nil {
			if err := fix.restore(ctx); err != nil {
				return result, fmt.Errorf("bringing back what is needed for the next step: %w", err)
			}
		}
	}
	return result, c.Fleet.Died()
}

// settled is how long after Redis is back replicas may still leave it alone, and
// compare what it holds.
const settled = 3 * time.Second

// RedisTrouble returns when Redis wasn't there as it should be.
func RedisTrouble(results []Result) []check.Window {
	var windows []check.Window
	for _, r := range results {
		if r.redis {
			windows = append(windows, check.Window{From: r.From, To: r.To + settled.Nanoseconds()})
		}
	}
	return windows
}

// BothInTrouble returns when the database was away while Redis, by the windows given,
// wasn't as it should be. What Redis missed then can be made up for only when the database
// is back: until then a count may be as late as that.
func BothInTrouble(results []Result, redis []check.Window) []check.Window {
	var windows []check.Window
	for _, r := range results {
		if !r.database {
			continue
		}
		from, to := r.From-settled.Nanoseconds(), r.To+r.First.Nanoseconds()+settled.Nanoseconds()
		for _, w := range redis {
			if w.From <= to && w.To >= from {
				windows = append(windows, check.Window{From: from, To: to, Staleness: time.Duration(to - from)})
				break
			}
		}
	}
	return windows
}

// Panics returns when requests were made to panic.
func Panics(results []Result) []check.Window {
	var windows []check.Window
	for _, r := range results {
		if r.panics {
			windows = append(windows, check.Window{From: r.From, To: r.To})
		}
	}
	return windows
}
