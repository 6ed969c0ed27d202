// Package fleet runs a deployment of the product as an operator would: replicas as
// processes, found by the shipped load balancer through DNS, on PostgreSQL and Redis. For
// programs that break it, PostgreSQL has a synchronous standby and there is a network that
// can fail between any two of them. One process with the embedded database is a fleet, too.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"highload.example/analytics/internal/harness"
)

// Config says what to open.
type Config struct {
	Root    string          // the repository's; empty: it is looked for
	Logs    string          // the directory of the processes' logs; empty: they are kept in memory
	Program harness.Program // the product; without a path it is built with failpoints
	Env     []string        // settings of every replica: NAME=value
	// Replicas is how many there are; 0: 3, and 1 when Embedded; NoReplicas: none but the
	// caller's own servers at Addresses.
	Replicas int
	// Embedded is one replica with a database of its own.
	Embedded bool
	// Stores opens PostgreSQL with a standby and Redis, with a network between each replica
	// and each of them and the load balancer, and implies Balancer. Without it, and without
	// Embedded, Env names the stores.
	Stores bool
	// Balancer opens HAProxy, and DNS for it.
	Balancer bool
	// Addresses is how many more addresses with the replicas' port are reserved, for servers of
	// the caller's own among the replicas: see Fleet.Addresses.
	Addresses int
	// SmallDisks puts each database on a small disk of its own, which can be filled. It
	// takes root.
	SmallDisks bool
	// Duration is how long traffic is going to last, which is what the disks have room for.
	Duration time.Duration
}

// Fleet is everything that runs. Close it.
type Fleet struct {
	Replicas []*Replica
	Postgres *Postgres        // nil without Stores
	Redis    *harness.Server  // nil without Stores
	Balancer *harness.HAProxy // nil without Balancer
	// Targets are base URLs: the load balancer's, if there is one, and every replica's.
	Targets []string
	// Addresses are the reserved ones, host:port. Announce tells the load balancer about them.
	Addresses []string
	// DataDir is where the embedded database keeps its files, DataDisk the small disk that
	// it is on, if it is.
	DataDir, DataDisk string

	config  Config
	dir     string
	disks   []string
	dns     *harness.DNS
	proxies []*harness.Proxy

	mu        sync.Mutex
	announced []string
}

// Open opens a fleet whose replicas are all ready and known to the load balancer. The
// caller calls Close, also after an error.
func Open(ctx context.Context, c Config) (*Fleet, error) {
	f := &Fleet{}
	var err error
	if c.Root == "" {
		if c.Root, err = harness.Root(); err != nil {
			return f, err
		}
	}
	if f.dir, err = os.MkdirTemp("", "analytics-fleet-"); err != nil {
		return f, fmt.Errorf("making a directory: %w", err)
	}
	if err := os.Chmod(f.dir, 0o755); err != nil { //nolint:gosec // PostgreSQL's account walks through it
		return f, fmt.Errorf("opening a directory: %w", err)
	}
	if c.Logs != "" {
		if err := os.MkdirAll(c.Logs, 0o750); err != nil {
			return f, fmt.Errorf("making a directory for logs: %w", err)
		}
	}
	if c.Program.Path == "" {
		if c.Program, err = harness.BuildProduct(ctx, c.Root, harness.Failpoint); err != nil {
			return f, err
		}
	}
	switch c.Replicas {
	case 0:
		c.Replicas = defaultReplicas
	case NoReplicas:
		c.Replicas = 0
	}
	c.Balancer = c.Balancer || c.Stores
	f.config = c
	if c.Embedded {
		return f, f.openEmbedded(ctx)
	}
	return f, f.openReplicas(ctx)
}

// defaultReplicas is how many there are.
const defaultReplicas = 3

// NoReplicas is a Config.Replicas.
const NoReplicas = -1

func (f *Fleet) logFile(name string) string {
	if f.config.Logs == "" {
		return ""
	}
	return filepath.Join(f.config.Logs, name+".log")
}

func (f *Fleet) openEmbedded(ctx context.Context) error {
	var err error
	if f.DataDisk, err = f.disk("disk"); err != nil {
		return err
	}
	f.DataDir = filepath.Join(f.dir, "data")
	if f.DataDisk != "" {
		f.DataDir = filepath.Join(f.DataDisk, "data")
	}
	address, err := harness.FreeAddress("127.0.0.1")
	if err != nil {
		return err
	}
	if err := f.addReplica("embedded", address, "DATA_DIR="+f.DataDir); err != nil {
		return err
	}
	return f.Replicas[0].Start(ctx)
}

func (f *Fleet) openReplicas(ctx context.Context) error {
	// 1. The stores.
	redis, err := f.openStores(ctx)
	if err != nil {
		return err
	}
	// 2. The replicas, each with a network of its own if the stores are ours.
	n := newNetwork()
	hosts := make([]string, 0, 2*f.config.Replicas+f.config.Addresses)
	for i := range f.config.Replicas {
		hosts = append(hosts, n.replica(i), n.front(i))
	}
	for i := range f.config.Addresses {
		hosts = append(hosts, n.reserved(i))
	}
	port, err := harness.FreePort(hosts...)
	if err != nil {
		return err
	}
	for i := range f.config.Addresses {
		f.Addresses = append(f.Addresses, net.JoinHostPort(n.reserved(i), strconv.Itoa(port)))
	}
	for i := range f.config.Replicas {
		address := net.JoinHostPort(n.replica(i), strconv.Itoa(port))
		if f.config.Stores {
			err = f.addNetworkedReplica(n, i, address, redis)
		} else {
			err = f.addReplica(replicaName(i), address)
		}
		if err != nil {
			return err
		}
	}
	if err := f.startReplicas(ctx); err != nil {
		return err
	}
	// 3. The load balancer.
	if !f.config.Balancer {
		return nil
	}
	return f.openBalancer(ctx, port)
}

// startReplicas starts all at once, as an orchestrator does, and waits for each.
func (f *Fleet) startReplicas(ctx context.Context) error {
	errs := make([]error, len(f.Replicas))
	var all sync.WaitGroup
	for i, r := range f.Replicas {
		all.Go(func() { errs[i] = r.Start(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// openBalancer opens DNS with all replicas, and HAProxy, and waits until each replica has had
// a request through it.
func (f *Fleet) openBalancer(ctx context.Context, port int) error {
	var err error
	if f.dns, err = harness.ServeDNS(); err != nil {
		return err
	}
	for _, r := range f.Replicas {
		if err := f.Announce(r.Host()); err != nil {
			return err
		}
	}
	if f.Balancer, err = harness.StartHAProxy(ctx, harness.HAProxyConfig{
		Root: f.config.Root, Port: port, DNS: f.dns.Address(), LogFile: f.logFile("haproxy"),
	}); err != nil {
		return err
	}
	f.Targets = append([]string{f.Balancer.URL}, f.Targets...)
	for _, r := range f.Replicas {
		if err := f.AwaitBalanced(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// Announce has DNS name a host, and Withdraw not any more.
func (f *Fleet) Announce(host string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.announced, host) {
		f.announced = append(f.announced, host)
	}
	return f.dns.Set(f.announced...)
}

// Withdraw has DNS not name a host any more.
func (f *Fleet) Withdraw(host string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.announced = slices.DeleteFunc(f.announced, func(h string) bool { return h == host })
	return f.dns.Set(f.announced...)
}

// balancedTimeout bounds a load balancer that doesn't find a replica.
const balancedTimeout = 90 * time.Second

// AwaitBalanced sends requests for the front page, which no rate limit concerns, through the
// load balancer until the replica has answered one.
func (f *Fleet) AwaitBalanced(ctx context.Context, r *Replica) error {
	served := func() float64 {
		metrics, err := r.Target().Metrics(ctx)
		if err != nil {
			return 0 // it isn't there
		}
		return metrics.Sum("analytics_http_requests_total", "method", "GET", "route", "/{$}", "status", "200")
	}
	before := served()
	return harness.Poll(ctx, balancedTimeout, func(ctx context.Context) error {
		if _, _, err := harness.Request(ctx, "GET", f.Balancer.URL+"/"); err != nil {
			return err
		}
		if served() <= before {
			return fmt.Errorf("%s gets no requests from the load balancer", r.Name)
		}
		return nil
	})
}

// AwaitTraffic waits until requests get through the load balancer; without one it returns
// at once.
func (f *Fleet) AwaitTraffic(ctx context.Context) error {
	if f.Balancer == nil {
		return nil
	}
	return f.Balancer.AwaitTraffic(ctx)
}

// openStores opens PostgreSQL and Redis, if they are ours, and returns Redis's host:port.
func (f *Fleet) openStores(ctx context.Context) (redis string, err error) {
	if !f.config.Stores {
		return "", nil
	}
	var disks [2]string
	for i := range disks {
		if disks[i], err = f.disk(hostNames[i]); err != nil {
			return "", err
		}
	}
	if f.Postgres, err = openPostgres(ctx, disks); err != nil {
		return "", err
	}
	if f.Redis, err = harness.StartRedis(); err != nil {
		return "", err
	}
	u, err := url.Parse(f.Redis.URL())
	if err != nil {
		return "", fmt.Errorf("reading Redis's URL: %w", err)
	}
	return u.Host, nil
}

// The sizes of a database's disk: small enough to be filled in a moment, and large enough
// for the log that it keeps and for what is stored meanwhile, twice as much as was seen.
const (
	diskBase      = 1 << 30
	diskPerMinute = 64 << 20
)

// disk returns a disk of its own, if those are wanted.
func (f *Fleet) disk(name string) (string, error) {
	if !f.config.SmallDisks {
		return "", nil
	}
	dir := filepath.Join(f.dir, name)
	if err := harness.MountDisk(dir, diskBase+int64(f.config.Duration.Minutes()*diskPerMinute)); err != nil {
		return "", err
	}
	f.disks = append(f.disks, dir)
	return dir, nil
}

func replicaName(i int) string { return fmt.Sprint("replica-", i+1) }

func (f *Fleet) addReplica(name, address string, settings ...string) error {
	r, err := newReplica(harness.ProductConfig{
		Program: f.config.Program, Name: name, Address: address, LogFile: f.logFile(name), Env: slices.Concat(defaultSettings, settings, f.config.Env),
		Pprof: true,
	})
	if err != nil {
		return err
	}
	f.Replicas = append(f.Replicas, r)
	f.Targets = append(f.Targets, r.URL)
	return nil
}

// addNetworkedReplica adds a replica whose connections all cross a network that can fail.
func (f *Fleet) addNetworkedReplica(n network, i int, address, redis string) error {
	name := replicaName(i)
	one, err := f.proxy(name+" to PostgreSQL one", n.link(i), f.Postgres.address(0))
	if err != nil {
		return err
	}
	two, err := f.proxy(name+" to PostgreSQL two", n.link(i), f.Postgres.address(1))
	if err != nil {
		return err
	}
	toRedis, err := f.proxy(name+" to Redis", n.link(i), redis)
	if err != nil {
		return err
	}
	f.Postgres.links[0] = append(f.Postgres.links[0], one)
	f.Postgres.links[1] = append(f.Postgres.links[1], two)
	if err := f.addReplica(name, address,
		fmt.Sprintf("PG_URL=postgres://%s@%s,%s/%s?sslmode=disable&target_session_attrs=read-write&connect_timeout=2", role, one.Address(), two.Address(), database),
		"REDIS_URL=redis://"+toRedis.Address()+"/0",
		"TRUSTED_PROXIES=127.0.0.0/8", fmt.Sprint("PG_MAX_CONNS=", pgMaxConns), "QUERY_CONCURRENCY=1",
	); err != nil {
		return err
	}
	r := f.Replicas[i]
	r.Postgres, r.Redis = []*harness.Proxy{one, two}, toRedis
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("the address of %s: %w", name, err)
	}
	r.Front, err = f.proxyAt("load balancer to "+name, net.JoinHostPort(n.front(i), port), address)
	return err
}

// proxy adds a stretch of network that listens on a free port of a host.
func (f *Fleet) proxy(name, host, target string) (*harness.Proxy, error) {
	address, err := harness.FreeAddress(host)
	if err != nil {
		return nil, err
	}
	return f.proxyAt(name, address, target)
}

func (f *Fleet) proxyAt(name, address, target string) (*harness.Proxy, error) {
	p, err := harness.NewProxy(name, address, target)
	if err != nil {
		return nil, err
	}
	f.proxies = append(f.proxies, p)
	return p, nil
}

// A replica's connections to PostgreSQL: PG_MAX_CONNS, and QUERY_CONCURRENCY and 4 more
// for queries.
const pgMaxConns, queryConns = 8, 1 + 4

// network is the addresses of one fleet, of which this machine has plenty: unlike the
// ports of 127.0.0.1, nobody else's connections take theirs between two starts.
type network struct{ prefix string }

// networks numbers this process's networks.
var networks atomic.Int64

func newNetwork() network {
	n := os.Getpid()<<3 + int(networks.Add(1))
	return network{prefix: fmt.Sprintf("127.%d.%d.", 64+n>>8&63, n&255)}
}

func (n network) replica(i int) string  { return fmt.Sprintf("%s%d", n.prefix, 10+i) }
func (n network) front(i int) string    { return fmt.Sprintf("%s%d", n.prefix, 50+i) }
func (n network) link(i int) string     { return fmt.Sprintf("%s%d", n.prefix, 100+i) }
func (n network) reserved(i int) string { return fmt.Sprintf("%s%d", n.prefix, 150+i) }

// Died returns what ended without having been told to.
func (f *Fleet) Died() error {
	errs := make([]error, 0, len(f.Replicas))
	for _, r := range f.Replicas {
		errs = append(errs, r.Died())
	}
	return errors.Join(errs...)
}

// Log returns what the processes logged, for a person who looks for a failure. With log
// files it returns their ends.
func (f *Fleet) Log() string {
	var b strings.Builder
	for _, r := range f.Replicas {
		if process := r.Process(); process != nil {
			fmt.Fprintf(&b, "%s logged:\n%s\n", r.Name, process.LogTail())
		}
	}
	if f.Balancer != nil {
		fmt.Fprintf(&b, "HAProxy logged:\n%s\n", f.Balancer.Log())
	}
	return b.String()
}

// Close ends everything, outermost first, and deletes its files. Its error says what
// didn't end as it should.
func (f *Fleet) Close(ctx context.Context) error {
	var errs []error
	if f.Balancer != nil {
		errs = append(errs, f.Balancer.Close(ctx))
	}
	for _, r := range f.Replicas {
		if r.Process() != nil {
			errs = append(errs, r.Close(ctx))
		}
	}
	for _, p := range f.proxies {
		p.Close()
	}
	if f.dns != nil {
		errs = append(errs, f.dns.Close())
	}
	if f.Redis != nil {
		f.Redis.Remove()
	}
	if f.Postgres != nil {
		f.Postgres.close()
	}
	for _, disk := range f.disks {
		errs = append(errs, harness.UnmountDisk(disk))
	}
	if f.dir != "" {
		errs = append(errs, os.RemoveAll(f.dir))
	}
	return errors.Join(errs...)
}
