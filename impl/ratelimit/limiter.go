// Package ratelimit decides whether a client may go on. The limit is shared by
// all replicas, yet most decisions are made without asking anyone: a replica
// takes a few tokens of a client's bucket at a time, a lease, and spends them by
// itself.
//
// What leases cost, per client:
//
//   - The limit holds. A token is admitted at most once, so since the beginning no
//     more is admitted than the bucket gave; and as a lease lives for a second, any
//     span of time admits at most the quota and what comes back in that span and
//     the second before it, over all replicas together.
//   - Tokens can be stranded: taken, then not used within the second, and lost to
//     the client. A replica holds less than a hundredth of the quota so (or
//     the cost of one request, where that is more), N replicas N times that. A lease is
//     twice the last one at most, and only when the last was used up within half
//     a second: a client of a steady pace uses all it takes, one of less than
//     a request a second and replica takes exactly what it needs, and even the
//     worst pattern of bursts and pauses wastes no more than was spent.
package ratelimit

import (
	"context"
	"hash/maphash"
	"math"
	"strings"
	"sync"
	"time"
)

// Config says what a Limiter works with. Zero values get the defaults named.
type Config struct {
	Policy   Policy
	Shared   Store // what replicas share; nil for a single replica
	Local    Store // this replica's own: all there is, or what counts while Shared is silent
	Clock    func() time.Time
	Observer Observer // may be nil

	SharedTimeout time.Duration // after which Shared counts as silent; 50 ms
	SharedPause   time.Duration // how long it is left alone then; 1 s
	MaxClients    int           // clients with a lease or a refusal remembered; 100,000
}

const (
	// leaseLife is how long the tokens of a lease may be used.
	leaseLife = time.Second
	// largestLease is the part of the quota that a replica holds at most.
	largestLease = 100
	// shortestRefusal is how long a client who has used up everything is refused
	// without asking again. With a large quota the next token is there within
	// microseconds: asking for each would cost a round trip per request just when a
	// client sends too many. The tokens aren't lost, the next lease takes them.
	shortestRefusal = 10 * time.Millisecond
)

// Limiter decides. It runs no goroutines and needs no closing. Use New.
type Limiter struct {
	config   Config
	start    time.Time // all times inside are since then
	maxLease int       // tokens
	seed     maphash.Seed
	shards   []shard
	perShard int // clients
	circuit  circuit
}

// shard is a part of the clients with a lock of its own, so that clients don't
// wait for each other. The lock is never held over a round trip.
type shard struct {
	mu      sync.Mutex
	clients map[string]*client
	_       [48]byte // its neighbour's lock is on another cache line
}

// client is what a replica knows of one client.
type client struct {
	tokens int           // left of the lease
	size   int           // that the lease was to have
	taken  time.Duration // when the lease was asked for

	// From the shared bucket's last answer.
	remaining    int
	fullAt       time.Duration
	refusedUntil time.Duration // requests of refusedCost and more
	refusedCost  int

	trip    chan struct{} // closed when the round trip under way has ended; nil: none is
	waiting int           // the cost of the requests that wait for it
}

// New returns a limiter. A policy that isn't valid, or a missing Local or Clock, is
// a mistake in the program and panics, as time.NewTicker does: check what people
// give with Policy.Validate before.
func New(config Config) *Limiter {
	if err := config.Policy.Validate(); err != nil {
		panic(err)
	}
	if config.Local == nil || config.Clock == nil {
		panic("rate limit: Local and Clock are needed")
	}
	if config.Observer == nil {
		config.Observer = deaf{}
	}
	if config.SharedTimeout <= 0 {
		config.SharedTimeout = 50 * time.Millisecond
	}
	if config.SharedPause <= 0 {
		config.SharedPause = time.Second
	}
	if config.MaxClients <= 0 {
		config.MaxClients = 100_000
	}
	shards := 64
	if config.MaxClients < 16*shards {
		shards = 1 // too few for an even spread
	}
	l := &Limiter{
		config:   config,
		start:    config.Clock(),
		maxLease: config.Policy.Quota / largestLease,
		seed:     maphash.MakeSeed(),
		shards:   make([]shard, shards),
		perShard: config.MaxClients / shards,
	}
	for i := range l.shards {
		l.shards[i].clients = map[string]*client{}
	}
	return l
}

type deaf struct{}

func (deaf) LimitDecided(bool)   {}
func (deaf) SharedLimitsFailed() {}

// Allow decides about a request of the client named by key that costs so many
// tokens. A cost is brought into 1 to the quota: a request that costs more takes
// a whole quota. Allow answers within about twice the shared store's time-out
// whatever happens; it has no error, for a limit that can't be asked for is
// replaced by the replica's own.
func (l *Limiter) Allow(ctx context.Context, key string, cost int) Decision {
	cost = min(max(cost, 1), l.config.Policy.Quota)
	var d Decision
	if l.config.Shared == nil {
		d = l.own(ctx, key, cost)
	} else {
		d = l.shared(ctx, key, cost)
	}
	l.config.Observer.LimitDecided(d.Allowed)
	return d
}

// own decides by the replica's own bucket and the full policy.
func (l *Limiter) own(ctx context.Context, key string, cost int) Decision {
	grant, err := l.config.Local.Take(ctx, key, l.config.Policy, cost, cost)
	return Decision{
		// A local store that fails is not a reason to turn clients away.
		Allowed:    grant.Granted >= cost || err != nil,
		Quota:      l.config.Policy.Quota,
		Window:     l.config.Policy.Window,
		Remaining:  grant.Remaining,
		RetryAfter: grant.RetryAfter,
		ResetAfter: grant.ResetAfter,
	}
}

// shared decides by the lease, asking the shared bucket for one where needed.
func (l *Limiter) shared(ctx context.Context, key string, cost int) Decision {
	s := &l.shards[maphash.String(l.seed, key)%uint64(len(l.shards))]
	for {
		now := l.now()
		s.mu.Lock()
		c := s.clients[key]
		if c != nil {
			if d, ok := l.decide(c, cost, now); ok {
				s.mu.Unlock()
				return d
			}
		}
		trip := inFlight(c)
		broken := l.circuit.broken.Load()
		switch {
		case broken && (trip != nil || !l.circuit.probe(now)):
			s.mu.Unlock()
			return l.own(ctx, key, cost)
		case trip != nil:
			// Someone is asking for this client already. Whoever asks next asks for
			// everyone who waits.
			c.waiting += cost
			s.mu.Unlock()
			if !l.await(ctx, s, c, trip, cost) {
				return l.own(ctx, key, cost)
			}
		default:
			if c == nil {
				c = l.insert(s, key, now)
			}
			return l.ask(ctx, s, c, key, cost, now)
		}
	}
}

// now is the time since the limiter's start.
func (l *Limiter) now() time.Duration { return l.config.Clock().Sub(l.start) }

func inFlight(c *client) chan struct{} {
	if c == nil {
		return nil
	}
	return c.trip
}

// decide decides by what is known here, if that is enough. The shard is locked.
func (l *Limiter) decide(c *client, cost int, now time.Duration) (_ Decision, ok bool) {
	if now-c.taken >= leaseLife {
		c.tokens = 0
	}
	switch {
	case c.tokens >= cost:
		c.tokens -= cost
		return l.decision(c, true, now), true
	case now < c.refusedUntil && cost >= c.refusedCost:
		return l.decision(c, false, now), true
	}
	return Decision{}, false
}

func (l *Limiter) decision(c *client, allowed bool, now time.Duration) Decision {
	d := Decision{
		Allowed:    allowed,
		Quota:      l.config.Policy.Quota,
		Window:     l.config.Policy.Window,
		Remaining:  min(c.remaining+c.tokens, l.config.Policy.Quota),
		ResetAfter: max(c.fullAt-now, 0),
	}
	if !allowed {
		d.RetryAfter = c.refusedUntil - now
	}
	return d
}

// await waits for another request's round trip; false when ctx ended first.
func (l *Limiter) await(ctx context.Context, s *shard, c *client, trip chan struct{}, cost int) bool {
	ended := true
	select {
	case <-trip:
	case <-ctx.Done():
		ended = false
	}
	s.mu.Lock()
	c.waiting -= cost
	s.mu.Unlock()
	return ended
}

// ask makes a round trip for c and everyone who waits for it. It takes over the
// shard's lock and gives it back.
func (l *Limiter) ask(ctx context.Context, s *shard, c *client, key string, cost int, now time.Duration) Decision {
	c.trip = make(chan struct{})
	c.size = l.leaseSize(c, cost, now)
	need := cost - c.tokens
	want := max(need, c.size, need+c.waiting)
	s.mu.Unlock()

	// The tokens are for everyone who waits: one client's leaving ends nothing.
	tripCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.config.SharedTimeout)
	grant, err := l.config.Shared.Take(tripCtx, key, l.config.Policy, need, want)
	cancel()

	s.mu.Lock()
	close(c.trip)
	c.trip = nil
	then := l.now()
	if err != nil {
		l.circuit.failed(then, l.config.SharedPause)
		s.mu.Unlock()
		l.config.Observer.SharedLimitsFailed()
		return l.own(ctx, key, cost)
	}
	defer s.mu.Unlock()
	l.circuit.answered()
	c.remaining = grant.Remaining
	c.fullAt = then + grant.ResetAfter
	if grant.Granted < need {
		c.refusedUntil = then + max(grant.RetryAfter, shortestRefusal)
		c.refusedCost = cost
		return l.decision(c, false, then)
	}
	c.tokens += grant.Granted - cost
	c.taken = now // before the round trip: a lease never lives longer than its life
	c.refusedUntil = 0
	return l.decision(c, true, then)
}

// leaseSize is how many tokens to ask for: twice as many as the last time when
// those lasted half a lease's life or less, so that at the same pace the new ones
// are used up in time; as many when they lasted longer; and to begin with, or
// after a lease ran out of time, just what the request needs.
func (l *Limiter) leaseSize(c *client, cost int, now time.Duration) int {
	size := cost
	switch lasted := now - c.taken; {
	case c.size == 0:
	case lasted <= leaseLife/2:
		size = 2 * c.size
	case lasted < leaseLife:
		size = c.size
	}
	return max(min(size, l.maxLease), cost)
}

// idle says that nothing is lost by forgetting c.
func (c *client) idle(now time.Duration) bool {
	return c.trip == nil && c.waiting == 0 && now-c.taken >= leaseLife && now >= c.refusedUntil
}

// insert adds a client. Each time it looks at a few others, wherever the map
// begins, and drops those that are idle, so that the dead never outnumber the
// living for long. When the shard is full and all those few are live, the one of
// them whose lease is the oldest goes: it loses what is left of its lease,
// or if it was being refused, asks once more than it would have.
func (l *Limiter) insert(s *shard, key string, now time.Duration) *client {
	const few = 8
	var (
		victim string
		oldest time.Duration = math.MaxInt64
		seen   int
	)
	for k, c := range s.clients {
		switch {
		case c.idle(now):
			delete(s.clients, k)
		case c.taken < oldest:
			victim, oldest = k, c.taken
		}
		if seen++; seen == few {
			break
		}
	}
	if len(s.clients) >= l.perShard {
		delete(s.clients, victim)
	}
	c := &client{taken: now}
	// The caller's key may be a piece of something large.
	s.clients[strings.Clone(key)] = c
	return c
}
