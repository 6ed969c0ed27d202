// Package stand is what a run under fire breaks: replicas of the product as processes,
// behind the balancer that is shipped, on PostgreSQL with a synchronous standby and
// Redis, with a proxy on every stretch of network between them; or one process with the
// embedded database.
package stand

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"highload.example/analytics/internal/harness"
)

// Config says what to stand up.
type Config struct {
	Root     string // the repository's
	Logs     string // directory for what the processes say
	Binary   string // the product, built with the tag failpoint; empty: it is built
	Embedded bool   // one process with its own database
	Replicas int    // of a fleet; 0: 3
	// SmallDisks puts each database on a small disk of its own, so that it can be
	// filled. It takes root.
	SmallDisks bool
	Stay       time.Duration // how long traffic is to come, for which the disks have room
	Settings   []string      // more for every replica: NAME=value
}

// Stand is everything that runs. Close it.
type Stand struct {
	Replicas []*Replica
	Postgres *Cluster        // nil: embedded
	Redis    *harness.Server // nil: embedded
	Targets  []string        // base URLs: the balancer, if there is one, and every replica
	// DataDisk is the embedded database's disk, DataDir where it keeps its files.
	DataDisk, DataDir string

	dir      string
	disks    []string
	names    *names
	balancer *balancer
	proxies  []*Proxy
}

// Open stands everything up. The caller calls Close, also after an error.
func Open(ctx context.Context, c Config) (*Stand, error) {
	s := &Stand{}
	var err error
	if s.dir, err = os.MkdirTemp("", "analytics-torture-"); err != nil {
		return s, fmt.Errorf("making a directory: %w", err)
	}
	if err := os.Chmod(s.dir, 0o755); err != nil { //nolint:gosec // PostgreSQL's account walks through it
		return s, fmt.Errorf("opening a directory: %w", err)
	}
	if c.Binary == "" {
		if c.Binary, err = s.build(ctx, c.Root); err != nil {
			return s, err
		}
	}
	if c.Embedded {
		return s, s.openEmbedded(ctx, c)
	}
	return s, s.openFleet(ctx, c)
}

func (s *Stand) build(ctx context.Context, root string) (string, error) {
	path := filepath.Join(s.dir, "analytics")
	build := exec.CommandContext(ctx, "go", "build", "-tags", "failpoint", "-o", path, "./cmd/analytics") //nolint:gosec // our own code, to our own directory
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building cmd/analytics: %w\n%s", err, out)
	}
	return path, nil
}

// disk returns a disk of its own, if those are wanted.
func (s *Stand) disk(c Config, name string) (string, error) {
	if !c.SmallDisks {
		return "", nil
	}
	dir := filepath.Join(s.dir, name)
	if err := mountDisk(dir, c.Stay); err != nil {
		return "", err
	}
	s.disks = append(s.disks, dir)
	return dir, nil
}

func (s *Stand) openEmbedded(ctx context.Context, c Config) error {
	var err error
	if s.DataDisk, err = s.disk(c, "disk"); err != nil {
		return err
	}
	s.DataDir = filepath.Join(s.dir, "data")
	if s.DataDisk != "" {
		s.DataDir = filepath.Join(s.DataDisk, "data")
	}
	address, err := freeAddress("127.0.0.1")
	if err != nil {
		return err
	}
	return s.addReplica(ctx, c, "embedded", address, "DATA_DIR="+s.DataDir)
}

func (s *Stand) addReplica(ctx context.Context, c Config, name, address string, settings ...string) error {
	if err := os.MkdirAll(c.Logs, 0o750); err != nil {
		return fmt.Errorf("making a directory for logs: %w", err)
	}
	r, err := newReplica(name, c.Logs, c.Binary, address, append(settings, c.Settings...)...)
	if err != nil {
		return err
	}
	s.Replicas = append(s.Replicas, r)
	s.Targets = append(s.Targets, r.URL)
	return r.Start(ctx)
}

// network is the addresses of one stand, of which this machine has plenty: unlike the
// ports of 127.0.0.1, nobody else's connections take theirs between two starts.
type network struct{ prefix string }

func newNetwork() network {
	pid := os.Getpid()
	return network{prefix: fmt.Sprintf("127.%d.%d.", 64+pid>>8&63, pid&255)}
}

func (n network) replica(i int) string { return fmt.Sprintf("%s%d", n.prefix, 10+i) }
func (n network) front(i int) string   { return fmt.Sprintf("%s%d", n.prefix, 50+i) }
func (n network) link(i int) string    { return fmt.Sprintf("%s%d", n.prefix, 100+i) }

// A replica's connections to PostgreSQL: PG_MAX_CONNS, and QUERY_CONCURRENCY and 4 more
// for questions.
const pgMaxConns, questionConns = 8, 1 + 4

// defaultReplicas is how many there are.
const defaultReplicas = 3

func (s *Stand) openFleet(ctx context.Context, c Config) error {
	count := c.Replicas
	if count == 0 {
		count = defaultReplicas
	}
	// 1. The servers.
	var disks [2]string
	var err error
	for i := range disks {
		if disks[i], err = s.disk(c, hostNames[i]); err != nil {
			return err
		}
	}
	if s.Postgres, err = startCluster(ctx, disks); err != nil {
		return err
	}
	if s.Redis, err = harness.StartRedis(); err != nil {
		return err
	}
	redis, err := url.Parse(s.Redis.URL())
	if err != nil {
		return fmt.Errorf("reading Redis's URL: %w", err)
	}
	// 2. The replicas, each with a network of its own.
	n := newNetwork()
	var fronts, all []string
	for i := range count {
		fronts = append(fronts, n.front(i))
		all = append(all, n.front(i), n.replica(i))
	}
	port, err := freePort(all...)
	if err != nil {
		return err
	}
	for i := range count {
		if err := s.addFleetReplica(ctx, c, n, i, port, redis.Host); err != nil {
			return err
		}
	}
	// 3. The balancer.
	if s.names, err = serveNames(fronts); err != nil {
		return err
	}
	if s.balancer, err = startBalancer(ctx, c.Root, filepath.Join(c.Logs, "haproxy.log"), port, s.names.address()); err != nil {
		return err
	}
	s.Targets = append([]string{s.balancer.url}, s.Targets...)
	return nil
}

func (s *Stand) addFleetReplica(ctx context.Context, c Config, n network, i int, port, redis string) error {
	name := fmt.Sprint("replica-", i+1)
	one, err := s.proxy(name+" to PostgreSQL one", n.link(i), "", s.Postgres.address(0))
	if err != nil {
		return err
	}
	two, err := s.proxy(name+" to PostgreSQL two", n.link(i), "", s.Postgres.address(1))
	if err != nil {
		return err
	}
	toRedis, err := s.proxy(name+" to Redis", n.link(i), "", redis)
	if err != nil {
		return err
	}
	s.Postgres.links[0] = append(s.Postgres.links[0], one)
	s.Postgres.links[1] = append(s.Postgres.links[1], two)
	address := n.replica(i) + ":" + port
	if err := s.addReplica(ctx, c, name, address,
		fmt.Sprintf("PG_URL=postgres://%s@%s,%s/%s?sslmode=disable&target_session_attrs=read-write&connect_timeout=2", role, one.Address(), two.Address(), database),
		"REDIS_URL=redis://"+toRedis.Address()+"/0",
		"TRUSTED_PROXIES=127.0.0.0/8", fmt.Sprint("PG_MAX_CONNS=", pgMaxConns), "QUERY_CONCURRENCY=1",
	); err != nil {
		return err
	}
	r := s.Replicas[i]
	r.Postgres, r.Redis = []*Proxy{one, two}, toRedis
	r.Front, err = s.proxy("balancer to "+name, n.front(i), port, address)
	return err
}

// proxy adds a stretch of network; without a port it takes a free one.
func (s *Stand) proxy(name, host, port, target string) (*Proxy, error) {
	address := host + ":" + port
	if port == "" {
		var err error
		if address, err = freeAddress(host); err != nil {
			return nil, err
		}
	}
	p, err := NewProxy(name, address, target)
	if err != nil {
		return nil, err
	}
	s.proxies = append(s.proxies, p)
	return p, nil
}

// Died returns what ended without having been told to.
func (s *Stand) Died() error {
	errs := make([]error, 0, len(s.Replicas))
	for _, r := range s.Replicas {
		errs = append(errs, r.Died())
	}
	return errors.Join(errs...)
}

// AwaitBalancer waits until requests get through the balancer; without one there is
// nothing to wait for.
func (s *Stand) AwaitBalancer(ctx context.Context) error {
	if s.balancer == nil {
		return nil
	}
	return s.balancer.awaitTraffic(ctx)
}

// Close ends everything, outermost first, and deletes what it left. Its error says what
// didn't end as it should.
func (s *Stand) Close(ctx context.Context) error {
	var errs []error
	if s.balancer != nil {
		errs = append(errs, s.balancer.close(ctx))
	}
	for _, r := range s.Replicas {
		errs = append(errs, r.close(ctx))
	}
	for _, p := range s.proxies {
		p.Close()
	}
	if s.names != nil {
		errs = append(errs, s.names.close())
	}
	if s.Redis != nil {
		s.Redis.Remove()
	}
	if s.Postgres != nil {
		s.Postgres.close()
	}
	for _, disk := range s.disks {
		errs = append(errs, unmountDisk(disk))
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
