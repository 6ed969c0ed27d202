package ingest

import (
	"context"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
)

func (s *Service) isDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// markDown makes the service refuse events at once. It returns true to the writer
// that noticed first: that one waits for the database.
func (s *Service) markDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down || s.stopped {
		return false
	}
	s.down = true
	for s.queue.oldest() != nil { // answered now rather than tried in vain
		s.refuseOldest(errDown)
	}
	return true
}

// Probes come at most this far apart, jitter included, so that events are let in
// again within 5 s of the database's return, also when one probe is lost.
const (
	probeTimeout     = time.Second
	maxProbeInterval = time.Second
)

// awaitDatabase asks until the database answers, then lets events in again. One
// question at a time, with jitter, so that replicas don't return in step.
func (s *Service) awaitDatabase() {
	since := time.Now()
	s.config.Logger.Error("the database doesn't answer: refusing events until it does")
	_, err := backoff.Retry(s.life, func() (struct{}, error) {
		s.mu.Lock()
		stopped := s.stopped
		s.mu.Unlock()
		if stopped {
			return struct{}{}, nil
		}
		ctx, cancel := context.WithTimeout(s.life, probeTimeout)
		defer cancel()
		return struct{}{}, s.config.Probe(ctx)
	}, backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 1.5, MaxInterval: maxProbeInterval,
	}), backoff.WithMaxElapsedTime(0))
	s.mu.Lock()
	s.down = false
	s.mu.Unlock()
	if err == nil {
		s.config.Logger.LogAttrs(context.Background(), slog.LevelInfo, "the database answers again", slog.String("after", time.Since(since).Round(time.Millisecond).String()))
	}
}
