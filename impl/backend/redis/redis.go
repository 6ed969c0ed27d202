// Package redis is what replicas share and may lose: counters and rate limits, in
// Redis 7 or newer, single, behind Sentinel, or a Cluster. Everything in it is
// derived or short-lived; keys.go lists it.
package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Config says which Redis, and how patiently it is asked. Zero values get the
// defaults named.
type Config struct {
	URL       string // see parseURL
	Namespace string // the identity of the database that the data is derived from

	PoolSize    int           // connections to a server; 16
	DialTimeout time.Duration // to connect; 1 s
	IOTimeout   time.Duration // to send, and to receive; 500 ms. A caller's sooner deadline counts
}

// Client is a connection pool to Redis. Use Open.
type Client struct {
	redis   goredis.UniversalClient
	cluster bool // keys of different types may be on different servers
	keys    keys
	take    *goredis.Script
	merge   *goredis.Script
	secrets []string // that no error may show
	runs    runs
}

// Open makes a client. It tries to connect, so that the first requests find a
// connection, for DialTimeout at most, but a Redis that can't be reached is no
// error: it is connected to when it comes. Errors say what is wrong with the
// configuration and never show the URL.
func Open(ctx context.Context, config Config) (*Client, error) {
	options, err := parseURL(config.URL)
	if err != nil {
		return nil, fmt.Errorf("redis URL: %w", err)
	}
	if !validNamespace(config.Namespace) {
		return nil, errors.New("redis namespace: must be one or more printable ASCII characters other than space and braces")
	}
	if config.PoolSize <= 0 {
		config.PoolSize = 16
	}
	if config.DialTimeout <= 0 {
		config.DialTimeout = time.Second
	}
	if config.IOTimeout <= 0 {
		config.IOTimeout = 500 * time.Millisecond
	}

	options.ContextTimeoutEnabled = true
	options.DialTimeout = config.DialTimeout
	options.ReadTimeout = config.IOTimeout
	options.WriteTimeout = config.IOTimeout
	options.PoolTimeout = config.IOTimeout
	options.PoolSize = config.PoolSize
	options.MaxActiveConns = config.PoolSize
	options.PipelinePoolSize = -1 // no second pool: PoolSize is all
	// One more try for a connection that the server closed while it was idle. More
	// is not worth waiting for: every caller can do without an answer.
	options.MaxRetries = 1
	options.MinRetryBackoff = time.Millisecond
	options.MaxRetryBackoff = 10 * time.Millisecond
	options.DialerRetries = 1
	options.Dialer = dialer(options)
	c := &Client{keys: newKeys(config.Namespace), take: goredis.NewScript(takeSource), merge: goredis.NewScript(mergeSource)}
	options.OnConnect = c.runs.note
	options.Protocol = 2 // no pushed messages are wanted
	options.DisableIdentity = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

	// go-redis has one logger for the process and writes to stderr every dial
	// that fails. All of it comes back as errors too, and who gets those logs them at
	// a bearable rate.
	logging.Disable()

	c.redis = goredis.NewUniversalClient(options)
	_, c.cluster = c.redis.(*goredis.ClusterClient)
	for _, secret := range []string{options.Password, options.SentinelPassword} {
		if secret != "" {
			c.secrets = append(c.secrets, secret)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, config.DialTimeout)
	defer cancel()
	_ = c.Ping(ctx) // see above
	return c, nil
}

// Ping asks whether Redis answers. Errors match event.ErrUnavailable, or
// context.Canceled.
func (c *Client) Ping(ctx context.Context) error {
	if err := c.redis.Ping(ctx).Err(); err != nil {
		return c.failed("asking whether it is there", err)
	}
	return nil
}

// Close closes the connections. What is used after it fails with
// event.ErrUnavailable. Closing twice is harmless.
func (c *Client) Close() error {
	if err := c.redis.Close(); err != nil && !errors.Is(err, goredis.ErrClosed) {
		return c.failed("closing", err)
	}
	return nil
}

// Limits returns the buckets that replicas share.
func (c *Client) Limits() *Limits { return &Limits{client: c} }

// Counters returns the totals that replicas share.
func (c *Client) Counters() *Counters { return &Counters{client: c} }
