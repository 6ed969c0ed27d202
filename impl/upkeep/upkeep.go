// Package upkeep keeps the record in shape while it is in use: partitions are made
// before events need them, and counts of minutes are folded into those of days, so
// that there are few.
package upkeep

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Store is a record of events. Several processes may keep one.
type Store interface {
	// EnsurePartitions makes room for the events of all instants from one to another.
	EnsurePartitions(ctx context.Context, from, to time.Time) error
	// Fold puts some of the minutes before an instant into the rows of their days, and
	// returns how many it took and whether there may be more: late events that came
	// meanwhile don't count, or a round would go on for as long as they come.
	Fold(ctx context.Context, before time.Time) (rows int, more bool, err error)
}

// Observer hears what happened, for metrics.
type Observer interface {
	CountsFolded(rows int)
	UpkeepFailed()
}

// Config says what a Service works with. Zero values get the defaults named.
type Config struct {
	Store    Store
	Observer Observer
	Logger   *slog.Logger
	Clock    func() time.Time

	Period      time.Duration // between two rounds, give or take a fifth; 1 min
	Pause       time.Duration // between two pieces of folding, for who waits behind them; 50 ms
	Ahead       time.Duration // how far ahead there are partitions; 62 days, two months or more
	KeepMinutes time.Duration // how long counts are left to themselves, for their writers; 15 min
	Timeout     time.Duration // how long the store may take for one call; 15 s
}

func (c Config) withDefaults() Config {
	def := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.Period, time.Minute)
	def(&c.Pause, 50*time.Millisecond)
	def(&c.Ahead, 62*24*time.Hour)
	def(&c.KeepMinutes, 15*time.Minute)
	def(&c.Timeout, 15*time.Second)
	return c
}

// Service keeps a record in shape. Use New, and Run it.
type Service struct {
	config  Config
	failing bool
}

// New returns a service.
func New(config Config) *Service { return &Service{config: config.withDefaults()} }

// Run makes a round at once and then every period, until ctx ends. Replicas that
// start together soon don't make theirs together.
func (s *Service) Run(ctx context.Context) {
	for {
		s.note(ctx, s.Round(ctx))
		fifth := s.config.Period / 5
		wait := s.config.Period - fifth + rand.N(2*fifth+1) //nolint:gosec // no secret
		if !sleep(ctx, wait) {
			return
		}
	}
}

// Round does all that there is to do. What fails keeps nothing else from being done.
func (s *Service) Round(ctx context.Context) error {
	now := s.config.Clock()
	return errors.Join(s.partition(ctx, now), s.fold(ctx, now))
}

func (s *Service) partition(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	return s.config.Store.EnsurePartitions(ctx, now, now.Add(s.config.Ahead))
}

func (s *Service) fold(ctx context.Context, now time.Time) error {
	for {
		rows, more, err := s.foldSome(ctx, now.Add(-s.config.KeepMinutes))
		if err != nil {
			return err
		}
		if rows > 0 {
			s.config.Observer.CountsFolded(rows)
		}
		if !more || !sleep(ctx, s.config.Pause) {
			return ctx.Err()
		}
	}
}

// foldSome doesn't wait for a server that has gone without a word: nothing else
// would end the wait.
func (s *Service) foldSome(ctx context.Context, before time.Time) (rows int, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	return s.config.Store.Fold(ctx, before)
}

// note logs a failure, once per outage: the next round tries again.
func (s *Service) note(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err == nil:
		s.failing = false
	default:
		s.config.Observer.UpkeepFailed()
		if !s.failing {
			s.config.Logger.Warn("the upkeep of the record was put off", "error", err)
		}
		s.failing = true
	}
}

// sleep returns false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
