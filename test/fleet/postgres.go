package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"highload.example/analytics/internal/harness"
)

// Postgres is a primary and a synchronous standby, on two hosts: a commit is
// answered when both have it. Each host has a disk of its own, and replicas reach it
// through proxies.
type Postgres struct {
	disks   [2]string // where its files are; empty: among all others
	servers [2]*harness.Server
	links   [2][]*harness.Proxy
	primary int
}

// The role and the database of the product. It is no superuser: those get connections
// when nobody else does.
const role, database = "analytics", "analytics"

// maxConnections leaves the replicas what they may open at most.
const maxConnections = 80

// hostNames are what the standby calls itself.
var hostNames = [2]string{"one", "two"}

var postgresSettings = []string{
	"max_connections=" + strconv.Itoa(maxConnections), "superuser_reserved_connections=10", "wal_keep_size=256MB", "max_wal_size=256MB", "shared_buffers=64MB",
	"log_min_messages=warning", "wal_receiver_status_interval=1s",
}

// openPostgres starts both servers.
func openPostgres(ctx context.Context, disks [2]string) (*Postgres, error) {
	c := &Postgres{disks: disks}
	var err error
	if c.servers[0], err = harness.StartPostgres(harness.PostgresConfig{Settings: postgresSettings, TempDir: disks[0]}); err != nil {
		return c, err
	}
	if err := c.Exec(ctx, "CREATE ROLE "+role+" LOGIN", "CREATE DATABASE "+database+" OWNER "+role); err != nil {
		return c, err
	}
	return c, c.addStandby(ctx)
}

// address returns where a host's server listens.
func (c *Postgres) address(host int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.servers[host].Port()))
}

// Primary is the server that takes writes.
func (c *Postgres) Primary() *harness.Server { return c.servers[c.primary] }

// Standby is the one that follows; nil between Failover and Rebuild.
func (c *Postgres) Standby() *harness.Server { return c.servers[1-c.primary] }

// PrimaryDisk is the directory on the disk of the server that takes writes.
func (c *Postgres) PrimaryDisk() string { return c.disks[c.primary] }

// PrimaryLinks are the proxies that lead to the server that takes writes.
func (c *Postgres) PrimaryLinks() []*harness.Proxy { return c.links[c.primary] }

// addStandby makes a new standby on the host that has none, and has commits wait for it.
func (c *Postgres) addStandby(ctx context.Context) error {
	host := 1 - c.primary
	standby, err := harness.StartStandby(c.Primary(), hostNames[host], harness.PostgresConfig{Settings: postgresSettings, TempDir: c.disks[host]})
	if err != nil {
		return err
	}
	c.servers[host] = standby
	for _, link := range c.links[host] {
		link.SetTarget(c.address(host))
	}
	if err := c.Exec(ctx, "ALTER SYSTEM SET synchronous_standby_names = '"+hostNames[host]+"'", "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	return c.AwaitStandby(ctx)
}

// statementTimeout is for the fleet's own statements.
const statementTimeout = 60 * time.Second

// AwaitStandby waits until the standby follows and is waited for.
func (c *Postgres) AwaitStandby(ctx context.Context) error {
	return harness.Poll(ctx, statementTimeout, func(ctx context.Context) error {
		var state string
		err := c.Query(ctx, "SELECT coalesce(max(sync_state), 'no standby') FROM pg_stat_replication WHERE state = 'streaming'", &state)
		if err == nil && state != "sync" {
			err = fmt.Errorf("the standby's state is %q", state)
		}
		return err
	})
}

// AwaitPrimary waits until the primary takes connections, after something was done to it
// that it may survive or not: if it ended, it is started again.
func (c *Postgres) AwaitPrimary(ctx context.Context) error {
	answers := func(ctx context.Context) error { return c.Query(ctx, "SELECT 1", new(int)) }
	if harness.Poll(ctx, 5*time.Second, answers) == nil {
		return nil
	}
	c.Primary().Stop()
	if err := c.Primary().Start(); err != nil {
		return err
	}
	return harness.Poll(ctx, statementTimeout, answers)
}

// Failover crashes the primary and makes the standby the primary, with nobody to wait
// for. Rebuild ends that.
func (c *Postgres) Failover() error {
	if err := c.Primary().Kill(); err != nil {
		return err
	}
	if err := c.Standby().Promote(); err != nil {
		return err
	}
	c.primary = 1 - c.primary
	return nil
}

// Rebuild makes what is left of the primary before the failover a new standby.
func (c *Postgres) Rebuild(ctx context.Context) error {
	c.Standby().Remove()
	return c.addStandby(ctx)
}

// connect connects to the primary, past all proxies, as a superuser.
func (c *Postgres) connect(ctx context.Context, user, name string) (*pgx.Conn, error) {
	url := fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable&connect_timeout=5", user, c.address(c.primary), name)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	return conn, nil
}

// Connect connects as the product does, past the proxies.
func (c *Postgres) Connect(ctx context.Context) (*pgx.Conn, error) {
	return c.connect(ctx, role, database)
}

// Exec executes statements on the primary, each by itself.
func (c *Postgres) Exec(ctx context.Context, statements ...string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	conn, err := c.connect(ctx, "postgres", "postgres")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// Query reads the only value that a question to the primary has.
func (c *Postgres) Query(ctx context.Context, question string, value any, args ...any) (err error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	conn, err := c.connect(ctx, "postgres", database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if err := conn.QueryRow(ctx, question, args...).Scan(value); err != nil {
		return fmt.Errorf("%s: %w", question, err)
	}
	return nil
}

func (c *Postgres) close() {
	for _, server := range c.servers {
		if server != nil {
			server.Remove()
		}
	}
}
