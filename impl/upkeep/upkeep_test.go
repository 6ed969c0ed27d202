package upkeep_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"highload.example/analytics/impl/testkit"
	"highload.example/analytics/impl/upkeep"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var now = time.Date(2026, 11, 23, 12, 34, 56, 0, time.UTC)

// record stands for a store, and says what it was asked.
type record struct {
	mu     sync.Mutex
	from   time.Time
	to     time.Time
	before []time.Time
	pieces []int // rows per piece that are left to fold
	err    error
	rounds chan struct{}
	folded int
	failed int
}

func (r *record) EnsurePartitions(_ context.Context, from, to time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.from, r.to = from, to
	if r.rounds != nil {
		r.rounds <- struct{}{}
	}
	return r.err
}

func (r *record) Fold(_ context.Context, before time.Time) (int, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = append(r.before, before)
	if len(r.pieces) == 0 {
		return 0, false, nil
	}
	rows := r.pieces[0]
	r.pieces = r.pieces[1:]
	return rows, true, nil
}

func (r *record) CountsFolded(rows int) { r.folded += rows }
func (r *record) UpkeepFailed()         { r.failed++ }

func config(r *record) upkeep.Config {
	return upkeep.Config{
		Store: r, Observer: r, Logger: slog.New(slog.DiscardHandler), Clock: func() time.Time { return now },
		Period: time.Millisecond, Pause: time.Nanosecond,
	}
}

func TestRound(t *testing.T) {
	t.Parallel()
	r := &record{pieces: []int{2000, 2000, 7}}
	if err := upkeep.New(config(r)).Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !r.from.Equal(now) || r.to.Sub(now) != 62*24*time.Hour {
		t.Errorf("partitions from %v to %v", r.from, r.to)
	}
	if len(r.before) != 4 || !r.before[0].Equal(now.Add(-15*time.Minute)) || r.folded != 4007 {
		t.Errorf("folded %d rows in %d pieces before %v", r.folded, len(r.before), r.before)
	}
}

func TestFailuresAreLoggedOncePerOutageAndRetried(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	r := &record{err: errors.New("on purpose"), rounds: make(chan struct{})}
	c := config(r)
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		upkeep.New(c).Run(ctx)
	}()
	for range 4 {
		<-r.rounds
	}
	cancel()
	select {
	case <-r.rounds: // one that had begun
	case <-ended:
	}
	<-ended
	if r.failed < 3 || strings.Count(log.String(), "on purpose") != 1 {
		t.Errorf("%d failures, and the log says\n%s", r.failed, log.String())
	}
}

func TestRunEndsPromptly(t *testing.T) {
	t.Parallel()
	r := &record{rounds: make(chan struct{}, 1)}
	c := config(r)
	c.Period = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		upkeep.New(c).Run(ctx)
	}()
	<-r.rounds
	cancel()
	<-ended
}

func TestFoldingGoesOnWithoutPartitions(t *testing.T) {
	t.Parallel()
	r := &record{err: errors.New("on purpose"), pieces: []int{5}}
	if err := upkeep.New(config(r)).Round(t.Context()); !errors.Is(err, r.err) {
		t.Errorf("Round: %v", err)
	}
	if r.folded != 5 {
		t.Errorf("folded %d rows", r.folded)
	}
}

// silent is a store whose server is gone without a word.
type silent struct{}

func (silent) EnsurePartitions(ctx context.Context, _, _ time.Time) error {
	<-ctx.Done()
	return ctx.Err()
}

func (silent) Fold(ctx context.Context, _ time.Time) (int, bool, error) {
	<-ctx.Done()
	return 0, false, ctx.Err()
}

func TestASilentStoreIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config(&record{})
		c.Store = silent{}
		begin := time.Now() // the bubble's
		if err := upkeep.New(c).Round(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Round: %v", err)
		}
		if took := time.Since(begin); took != 30*time.Second {
			t.Errorf("it took %v, want 15 s for each of two calls", took)
		}
	})
}
