package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"highload.example/analytics/gen/pgdb"
	"highload.example/analytics/impl/event"
)

// A slot is a writer's share of the count tables. While it is the writer's alone,
// the writer never waits for another one's rows. Slots are leased, so that
// those of a killed process are used again; two writers that come to share one
// still count right.
type slot struct {
	owner  pgtype.UUID
	number int32
}

// slots claims, renews and gives back the slots of one store's writers.
type slots struct {
	queries   *pgdb.Queries
	translate func(ctx context.Context, doing string, err error) error
	lease     time.Duration
	log       *slog.Logger

	mu   sync.Mutex
	held map[pgtype.UUID]struct{} // owners whose lease is being renewed

	cancel  context.CancelFunc
	stopped chan struct{}
}

// newSlots starts the goroutine that renews. stop ends it.
func newSlots(ctx context.Context, store *Store, lease time.Duration) *slots {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &slots{
		queries: store.queries, translate: store.translate, lease: lease, log: store.log,
		held: make(map[pgtype.UUID]struct{}), cancel: cancel, stopped: make(chan struct{}),
	}
	go s.run(ctx)
	return s
}

func (s *slots) stop() {
	s.cancel()
	<-s.stopped
}

func (s *slots) run(ctx context.Context) {
	defer close(s.stopped)
	every := s.lease / 3
	tick := time.NewTicker(every)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := s.renew(ctx, every)
		// Once per outage, not once per try.
		if err != nil && !failing && ctx.Err() == nil {
			s.log.Warn("writer slots can't be renewed; writers may have to wait for each other", "error", err)
		}
		failing = err != nil
	}
}

// renew extends every lease, and forgets those that someone else has taken over.
func (s *slots) renew(ctx context.Context, timeout time.Duration) error {
	s.mu.Lock()
	owners := make([]pgtype.UUID, 0, len(s.held))
	for o := range s.held {
		owners = append(owners, o)
	}
	s.mu.Unlock()
	if len(owners) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	kept, err := s.queries.RenewSlots(ctx, pgdb.RenewSlotsParams{LeaseSeconds: s.lease.Seconds(), Owners: owners})
	if err != nil {
		return s.translate(ctx, "renew writer slots", err)
	}
	still := make(map[pgtype.UUID]struct{}, len(kept))
	for _, o := range kept {
		still[o] = struct{}{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range owners {
		if _, ok := still[o]; !ok {
			delete(s.held, o)
		}
	}
	return nil
}

// holds reports whether the slot is, as far as is known, its owner's alone.
func (s *slots) holds(sl slot) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.held[sl.owner]
	return ok
}

// maxClaims bounds how often a claim is tried again. Each failure means that
// another writer got a slot, so it is never reached in practice.
const maxClaims = 1000

// claim returns a slot that nobody else has: one whose owner is gone, else a
// new one.
func (s *slots) claim(ctx context.Context) (slot, error) {
	sl := slot{owner: newOwner()}
	for range maxClaims {
		number, err := s.queries.ReclaimSlot(ctx, pgdb.ReclaimSlotParams{Owner: sl.owner, LeaseSeconds: s.lease.Seconds()})
		if errors.Is(err, pgx.ErrNoRows) {
			number, err = s.queries.AddSlot(ctx, pgdb.AddSlotParams{Owner: sl.owner, LeaseSeconds: s.lease.Seconds()})
		}
		if isUnique(err) {
			continue // another writer was faster
		}
		if err != nil {
			return slot{}, s.translate(ctx, "claim a writer slot", err)
		}
		sl.number = number
		s.mu.Lock()
		s.held[sl.owner] = struct{}{}
		s.mu.Unlock()
		return sl, nil
	}
	return slot{}, &failure{
		doing: "claim a writer slot", reason: "other writers were always faster", kinds: []error{event.ErrUnavailable},
	}
}

// release gives a slot back. It is no longer renewed, even if that fails.
func (s *slots) release(ctx context.Context, sl slot) error {
	s.mu.Lock()
	_, held := s.held[sl.owner]
	delete(s.held, sl.owner)
	s.mu.Unlock()
	if !held {
		return nil
	}
	return s.translate(ctx, "release a writer slot", s.queries.ReleaseSlot(ctx, sl.owner))
}

// newOwner returns a name for a writer that no other writer has.
func newOwner() pgtype.UUID {
	id := pgtype.UUID{Valid: true}
	rand.Read(id.Bytes[:]) // never fails: crypto/rand ends the program instead
	return id
}
