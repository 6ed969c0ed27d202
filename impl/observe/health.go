package observe

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Phase is where the process is in its life.
type Phase int32

// The phases, in order.
const (
	Starting Phase = iota
	Serving
	Stopping
)

// Dependency is something that the service leans on.
type Dependency struct {
	Name     string // "database" or "redis"
	Required bool   // without it the service isn't ready
	Ping     func(ctx context.Context) error
}

// Health knows what works. Probes read what a single loop found out, so that any
// number of probes costs the database one question a second.
type Health struct {
	dependencies []Dependency
	up           []atomic.Bool
	phase        atomic.Int32
	metrics      *Metrics
	logger       *slog.Logger
}

// NewHealth returns a Health in the phase Starting that takes its dependencies
// to be up until asked.
func NewHealth(metrics *Metrics, logger *slog.Logger, dependencies ...Dependency) *Health {
	h := &Health{dependencies: dependencies, up: make([]atomic.Bool, len(dependencies)), metrics: metrics, logger: logger}
	for i, d := range dependencies {
		h.up[i].Store(true)
		metrics.dependencyUp.WithLabelValues(d.Name).Set(1)
	}
	return h
}

// SetPhase moves the process to a phase.
func (h *Health) SetPhase(p Phase) { h.phase.Store(int32(p)) }

// Phase returns the phase.
func (h *Health) Phase() Phase { return Phase(h.phase.Load()) }

const (
	pingPeriod  = time.Second
	pingTimeout = 900 * time.Millisecond
)

// Run asks the dependencies once a second until ctx ends.
func (h *Health) Run(ctx context.Context) {
	ticker := time.NewTicker(pingPeriod)
	defer ticker.Stop()
	for {
		h.check(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// check asks every dependency at once: one that hangs must not delay the others.
func (h *Health) check(ctx context.Context) {
	var asked sync.WaitGroup
	for i, d := range h.dependencies {
		asked.Go(func() {
			pingCtx, cancel := context.WithTimeout(ctx, pingTimeout)
			defer cancel()
			err := d.Ping(pingCtx)
			if ctx.Err() != nil {
				return // we are stopping; that says nothing about them
			}
			h.set(i, err)
		})
	}
	asked.Wait()
}

func (h *Health) set(i int, err error) {
	d := h.dependencies[i]
	up := err == nil
	value := 0.0
	if up {
		value = 1
	}
	h.metrics.dependencyUp.WithLabelValues(d.Name).Set(value)
	if was := h.up[i].Swap(up); was == up {
		return
	}
	if up {
		h.logger.Info("a dependency answers again", "dependency", d.Name)
	} else {
		h.logger.Warn("a dependency doesn't answer", "dependency", d.Name, "error", err)
	}
}

// Report is the answer to a probe.
type Report struct {
	Ready bool
	Phase Phase
	Up    map[string]bool // by dependency
}

// Report says what works now.
func (h *Health) Report() Report {
	r := Report{Phase: h.Phase(), Up: make(map[string]bool, len(h.dependencies))}
	r.Ready = r.Phase == Serving
	for i, d := range h.dependencies {
		up := h.up[i].Load()
		r.Up[d.Name] = up
		if d.Required && !up {
			r.Ready = false
		}
	}
	return r
}
