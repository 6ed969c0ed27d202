package nemesis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"highload.example/analytics/impl/failpoint"
	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/fleet"
)

// Fault is one way to break a fleet.
type Fault struct {
	Name string
	// Family is what a short run has one fault of.
	Family string
	kind   string // what is broken: faults of one kind never overlap
	// It lasts between these.
	least, most time.Duration
	// mixes says that other faults may occur meanwhile.
	mixes bool
	// redis says that Redis isn't there as it should be.
	redis bool
	// panics says that a request may be answered 500.
	panics bool
	// embedded and fleet say in which mode it can occur.
	embedded, fleet bool
	// inject breaks something and returns what repairs it. Both return when that is done.
	inject func(ctx context.Context, t target) (repair, error)
}

// repair ends a fault.
type repair struct {
	// heal gives back what the service needs. The time to recovery counts from its return.
	heal func(ctx context.Context) error
	// restore gives back what only the next fault needs; nil: nothing.
	restore func(ctx context.Context) error
}

// target is what a fault happens to: something of the fleet, or one replica.
type target struct {
	fleet   *fleet.Fleet
	replica *fleet.Replica
}

func healWith(heal func(context.Context) error) repair { return repair{heal: heal} }

// nothing is the healing of what is over at once.
func nothing(context.Context) error { return nil }

// Faults returns the faults that can occur in a fleet, or in one process with the embedded
// database, each once; full disks only where disks are small.
func Faults(embedded, smallDisks bool) []*Fault {
	var all []*Fault
	for _, f := range slices.Concat(replicaFaults(), failpointFaults(), postgresFaults(), redisFaults(), networkFaults()) {
		if (embedded && !f.embedded) || (!embedded && !f.fleet) || (f.kind == diskKind && !smallDisks) {
			continue
		}
		all = append(all, f)
	}
	return all
}

// Select returns those whose names begin with one of the patterns, which are separated
// by commas; empty: all.
func Select(all []*Fault, patterns string) ([]*Fault, error) {
	if patterns == "" {
		return all, nil
	}
	var chosen []*Fault
	for pattern := range strings.SplitSeq(patterns, ",") {
		found := false
		for _, f := range all {
			if strings.HasPrefix(f.Name, pattern) {
				found = true
				if !slices.Contains(chosen, f) {
					chosen = append(chosen, f)
				}
			}
		}
		if !found {
			return nil, fmt.Errorf("no fault's name begins with %q", pattern)
		}
	}
	return chosen, nil
}

const (
	replicaKind  = "replica"
	postgresKind = "PostgreSQL"
	redisKind    = "Redis"
	networkKind  = "network to "
	diskKind     = "disk"
)

// brief and long are how long faults last: shorter than requests wait, and longer.
const (
	brief = 300 * time.Millisecond
	some  = 2 * time.Second
	long  = 8 * time.Second
)

func replicaFaults() []*Fault {
	return []*Fault{
		{
			Name: "replica-kill", Family: "replica", kind: replicaKind, least: brief, most: some, mixes: true, embedded: true, fleet: true,
			inject: func(_ context.Context, t target) (repair, error) {
				return healWith(func(ctx context.Context) error { return t.replica.Start(ctx) }), t.replica.Kill()
			},
		},
		{
			Name: "replica-kill-all", Family: "replica", kind: replicaKind, least: brief, most: some, fleet: true,
			inject: func(_ context.Context, t target) (repair, error) {
				var errs []error
				for _, r := range t.fleet.Replicas {
					errs = append(errs, r.Kill())
				}
				return healWith(func(ctx context.Context) error {
					var errs []error
					for _, r := range t.fleet.Replicas {
						errs = append(errs, r.Start(ctx))
					}
					return errors.Join(errs...)
				}), errors.Join(errs...)
			},
		},
		{
			Name: "replica-pause", Family: "replica", kind: replicaKind, least: brief, most: long, mixes: true, embedded: true, fleet: true,
			inject: func(_ context.Context, t target) (repair, error) {
				return healWith(func(context.Context) error { return t.replica.Resume() }), t.replica.Pause()
			},
		},
		{
			Name: "replica-restart", Family: "replica", kind: replicaKind, least: 0, most: brief, embedded: true, fleet: true,
			inject: func(ctx context.Context, t target) (repair, error) {
				for _, r := range t.fleet.Replicas {
					if err := restart(ctx, r); err != nil {
						return repair{}, err
					}
				}
				return healWith(nothing), nil
			},
		},
		clock("clock-ahead", "1h"), clock("clock-behind", "-1h"),
		{
			// Both the data and what SQLite writes ahead.
			Name: "disk-full", Family: diskKind, kind: diskKind, least: brief, most: long, embedded: true,
			inject: func(_ context.Context, t target) (repair, error) {
				return healWith(func(context.Context) error { return harness.EmptyDisk(t.fleet.DataDisk) }), harness.FillDisk(t.fleet.DataDisk)
			},
		},
	}
}

func restart(ctx context.Context, r *fleet.Replica, settings ...string) error {
	if err := r.Terminate(ctx); err != nil {
		return err
	}
	return r.Start(ctx, settings...)
}

func clock(name, shift string) *Fault {
	return &Fault{
		Name: name, Family: "clock", kind: replicaKind, least: some, most: 2 * some, embedded: true, fleet: true,
		inject: func(ctx context.Context, t target) (repair, error) {
			return healWith(func(ctx context.Context) error { return restart(ctx, t.replica) }),
				restart(ctx, t.replica, failpoint.EnvClockShift+"="+shift)
		},
	}
}

func failpointFaults() []*Fault {
	var all []*Fault
	for _, place := range []string{
		failpoint.BeforeSubmit, failpoint.BeforeInsert, failpoint.BeforeCommit, failpoint.AfterCommit, failpoint.BeforeAnswer, failpoint.AfterSubmit,
	} {
		for _, action := range []string{failpoint.Panic, failpoint.Exit} {
			inHandler := place == failpoint.BeforeSubmit || place == failpoint.AfterSubmit
			all = append(all, &Fault{
				Name: action + "-" + place, Family: "failpoint", kind: replicaKind, least: 0, most: brief, embedded: true, fleet: true,
				panics: inHandler && action == failpoint.Panic,
				inject: func(ctx context.Context, t target) (repair, error) {
					return healWith(func(ctx context.Context) error {
						if t.replica.Running() { // it was a handler's panic
							return nil
						}
						return t.replica.Start(ctx)
					}), t.replica.FailAt(ctx, place, action)
				},
			})
		}
	}
	return all
}

func postgresFaults() []*Fault {
	back := func(c *fleet.Postgres) func(context.Context) error {
		return func(ctx context.Context) error {
			if err := c.AwaitPrimary(ctx); err != nil {
				return err
			}
			return c.AwaitStandby(ctx)
		}
	}
	all := []*Fault{
		{
			Name: "postgres-stop", least: brief, most: long, mixes: true,
			inject: func(_ context.Context, t target) (repair, error) {
				c := t.fleet.Postgres
				c.Primary().Stop()
				return healWith(func(ctx context.Context) error { return errors.Join(c.Primary().Start(), back(c)(ctx)) }), nil
			},
		},
		{
			Name: "postgres-kill", least: brief, most: long, mixes: true,
			inject: func(_ context.Context, t target) (repair, error) {
				c := t.fleet.Postgres
				return healWith(func(ctx context.Context) error { return errors.Join(c.Primary().Start(), back(c)(ctx)) }), c.Primary().Kill()
			},
		},
		{
			Name: "postgres-kill-backend", least: 0, most: brief,
			inject: func(ctx context.Context, t target) (repair, error) {
				c := t.fleet.Postgres
				var pid int
				if err := c.Query(ctx, "SELECT pid FROM pg_stat_activity WHERE usename = 'analytics' ORDER BY state = 'active' DESC, random() LIMIT 1", &pid); err != nil {
					return repair{}, err
				}
				return healWith(back(c)), syscall.Kill(pid, syscall.SIGKILL)
			},
		},
		{
			Name: "postgres-pause", least: brief, most: long, mixes: true,
			inject: func(_ context.Context, t target) (repair, error) {
				c := t.fleet.Postgres
				return healWith(func(context.Context) error { return c.Primary().Resume() }), c.Primary().Pause()
			},
		},
		{
			Name: "postgres-refuse", least: brief, most: long, mixes: true,
			inject: func(_ context.Context, t target) (repair, error) {
				return setNetwork(t.fleet.Postgres.PrimaryLinks(), harness.Refused, 0)
			},
		},
		{Name: "postgres-too-many", least: some, most: long, inject: takeConnections},
		{
			Name: "postgres-disk-full", Family: diskKind, kind: diskKind, least: brief, most: long,
			inject: func(_ context.Context, t target) (repair, error) {
				c := t.fleet.Postgres
				disk := c.PrimaryDisk()
				return healWith(func(ctx context.Context) error { return errors.Join(harness.EmptyDisk(disk), back(c)(ctx)) }), harness.FillDisk(disk)
			},
		},
		{
			Name: "postgres-failover", least: 0, most: some,
			inject: func(_ context.Context, t target) (repair, error) {
				c := t.fleet.Postgres
				return repair{heal: func(context.Context) error { return c.Failover() }, restore: c.Rebuild}, c.Primary().Kill()
			},
		},
		{
			// Commits wait for the standby and nobody is answered; then the primary is
			// lost too, and only what the standby has remains.
			Name: "postgres-failover-behind", least: long, most: long,
			inject: func(_ context.Context, t target) (repair, error) {
				c := t.fleet.Postgres
				return repair{heal: func(context.Context) error {
					if err := c.Primary().Kill(); err != nil {
						return err
					}
					if err := c.Standby().Start(); err != nil {
						return err
					}
					return c.Failover()
				}, restore: c.Rebuild}, c.Standby().Kill()
			},
		},
		{
			Name: "postgres-standby-pause", Family: "standby", least: brief, most: long, mixes: true,
			inject: func(_ context.Context, t target) (repair, error) {
				c := t.fleet.Postgres
				return healWith(func(ctx context.Context) error { return errors.Join(c.Standby().Resume(), c.AwaitStandby(ctx)) }), c.Standby().Pause()
			},
		},
		{
			Name: "postgres-standby-kill", Family: "standby", least: brief, most: long, mixes: true,
			inject: func(_ context.Context, t target) (repair, error) {
				c := t.fleet.Postgres
				return healWith(func(ctx context.Context) error { return errors.Join(c.Standby().Start(), c.AwaitStandby(ctx)) }), c.Standby().Kill()
			},
		},
	}
	for _, f := range all {
		f.fleet = true
		if f.kind == "" {
			f.kind = postgresKind
		}
		if f.Family == "" {
			f.Family = postgresKind
		}
	}
	return all
}

// takeConnections leaves the replicas no connection: what they have is hung up on, and
// what they try is refused as it is when the server has as many as it takes (53300).
func takeConnections(ctx context.Context, t target) (repair, error) {
	c := t.fleet.Postgres
	return healWith(func(ctx context.Context) error {
			return c.Exec(ctx, "ALTER ROLE analytics CONNECTION LIMIT -1")
		}), c.Exec(
			ctx, "ALTER ROLE analytics CONNECTION LIMIT 0",
			"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'analytics'",
		)
}

func redisFaults() []*Fault {
	command := func(t target, args ...any) error {
		return t.fleet.WithRedis(func(c *goredis.Client) error {
			if err := c.Do(context.Background(), args...).Err(); err != nil {
				return fmt.Errorf("%v: %w", args, err)
			}
			return nil
		})
	}
	all := []*Fault{
		{
			Name: "redis-kill", least: brief, most: some, mixes: true,
			inject: func(_ context.Context, t target) (repair, error) {
				return healWith(func(context.Context) error { return t.fleet.Redis.Start() }), t.fleet.Redis.Kill()
			},
		},
		{
			Name: "redis-pause", least: brief, most: 2 * some, mixes: true,
			inject: func(_ context.Context, t target) (repair, error) {
				return healWith(func(context.Context) error { return t.fleet.Redis.Resume() }), t.fleet.Redis.Pause()
			},
		},
		{
			Name: "redis-flushall", least: 0, most: brief, mixes: true,
			inject: func(_ context.Context, t target) (repair, error) { return healWith(nothing), command(t, "FLUSHALL") },
		},
		{
			Name: "redis-readonly", least: brief, most: 2 * some, mixes: true,
			inject: func(_ context.Context, t target) (repair, error) {
				// The copy of a server that isn't there keeps what it has.
				return healWith(func(context.Context) error { return command(t, "REPLICAOF", "NO", "ONE") }), command(t, "REPLICAOF", "127.0.0.1", "1")
			},
		},
		{
			Name: "redis-out-of-memory", least: brief, most: 2 * some, mixes: true,
			inject: func(_ context.Context, t target) (repair, error) {
				return healWith(func(context.Context) error { return command(t, "CONFIG", "SET", "maxmemory", "0") }),
					command(t, "CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1")
			},
		},
		{
			// What a copy had that was made some time ago.
			Name: "redis-older-copy", least: some, most: 2 * some,
			inject: func(_ context.Context, t target) (repair, error) {
				dump := filepath.Join(t.fleet.Redis.Dir(), "dump.rdb")
				return healWith(func(context.Context) error {
					if err := t.fleet.Redis.Kill(); err != nil {
						return err
					}
					if err := t.fleet.Redis.Start(); err != nil {
						return err
					}
					return os.Remove(dump)
				}), command(t, "SAVE")
			},
		},
	}
	for _, f := range all {
		f.fleet, f.Family, f.kind, f.redis = true, redisKind, redisKind, true
	}
	return all
}

func networkFaults() []*Fault {
	var all []*Fault
	for _, part := range []struct {
		name  string
		redis bool
		links func(target) []*harness.Proxy
	}{
		{"balancer", false, func(t target) []*harness.Proxy { return []*harness.Proxy{t.replica.Front} }},
		{"postgres", false, func(t target) []*harness.Proxy { return t.replica.Postgres }},
		{"redis", true, func(t target) []*harness.Proxy { return []*harness.Proxy{t.replica.Redis} }},
	} {
		for _, w := range []struct {
			state       harness.NetworkState
			least, most time.Duration
		}{{harness.Delayed, brief, 2 * some}, {harness.DropResponses, brief, some}, {harness.HalfOpen, brief, long}, {harness.Refused, brief, some}} {
			all = append(all, &Fault{
				Name: "net-" + part.name + "-" + string(w.state), Family: networkKind + part.name, kind: networkKind + part.name, least: w.least, most: w.most,
				mixes: true, fleet: true, redis: part.redis,
				inject: func(_ context.Context, t target) (repair, error) {
					return setNetwork(part.links(t), w.state, delay)
				},
			})
		}
		all = append(all, &Fault{
			Name: "net-" + part.name + "-cut", Family: networkKind + part.name, kind: networkKind + part.name, least: 0, most: brief, mixes: true, fleet: true, redis: part.redis,
			inject: func(_ context.Context, t target) (repair, error) {
				for _, p := range part.links(t) {
					p.Cut()
				}
				return healWith(nothing), nil
			},
		})
	}
	return all
}

// delay is how late a slow network is, each way: later than Redis is waited for.
const delay = 80 * time.Millisecond

func setNetwork(links []*harness.Proxy, w harness.NetworkState, late time.Duration) (repair, error) {
	change := func(w harness.NetworkState, late time.Duration) error {
		var errs []error
		for _, p := range links {
			errs = append(errs, p.Set(w, late))
		}
		return errors.Join(errs...)
	}
	return healWith(func(context.Context) error { return change(harness.Healthy, 0) }), change(w, late)
}
