// Package config turns environment variables and flags into settings: every one
// with a default, every mistake reported, all of them at once.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Settings are the settings as text, the way people give them. The tags are the
// one place where names, defaults and explanations stand: --help and the README's
// table are made from them.
type Settings struct {
	Addr              string `name:"addr" env:"ADDR" default:":8000" help:"Address to listen on, host:port; an empty host means every interface."`
	PGURL             string `name:"pg-url" env:"PG_URL" default:"" help:"PostgreSQL 15 or newer, postgres://user:password@host:port/database; several hosts may be given. Empty: the embedded database."`
	RedisURL          string `name:"redis-url" env:"REDIS_URL" default:"" help:"Redis 7 or newer, redis://host:port/0: what replicas share. Empty: in-process, for a single replica."`
	DataDir           string `name:"data-dir" env:"DATA_DIR" default:"./data" help:"Directory of the embedded database; made if missing. Not used with PG_URL."`
	RateLimit         string `name:"rate-limit" env:"RATE_LIMIT" default:"1500" help:"Requests per minute and client address (IPv6: per /64 network); 0 means no limit."`
	TrustedProxies    string `name:"trusted-proxies" env:"TRUSTED_PROXIES" default:"" help:"Networks whose X-Forwarded-For is believed, as CIDRs separated by commas: 10.0.0.0/8,fd00::/8."`
	CORSOrigins       string `name:"cors-origins" env:"CORS_ORIGINS" default:"" help:"Origins whose pages may use the service from a browser, separated by commas: https://shop.example,http://localhost:5173; * for every page there is. Empty: none."`
	MaxFutureSkew     string `name:"max-future-skew" env:"MAX_FUTURE_SKEW" default:"1h" help:"How far ahead of the server's clock an event's timestamp may be."`
	RequestTimeout    string `name:"request-timeout" env:"REQUEST_TIMEOUT" default:"5s" help:"How long a request may wait for the database before it is answered 503."`
	BodyTimeout       string `name:"body-timeout" env:"BODY_TIMEOUT" default:"15s" help:"How long a client may take to send a request before it is answered 408."`
	MaxBatchEvents    string `name:"max-batch-events" env:"MAX_BATCH_EVENTS" default:"5000" help:"Events in one request to POST /events, at most 5000."`
	MaxBatchBytes     string `name:"max-batch-bytes" env:"MAX_BATCH_BYTES" default:"8MiB" help:"Size of the body of POST /events, before and after decompression, at most 8MiB."`
	MaxInFlight       string `name:"max-in-flight-requests" env:"MAX_IN_FLIGHT_REQUESTS" default:"4096" help:"Requests being worked on at once; more are answered 503 at once."`
	MaxInFlightBytes  string `name:"max-in-flight-bytes" env:"MAX_IN_FLIGHT_BYTES" default:"64MiB" help:"Memory for the bodies of requests, and as much again for the events that wait to be stored; more are answered 503 at once."`
	QueryTimeout      string `name:"query-timeout" env:"QUERY_TIMEOUT" default:"10s" help:"How long one question may take before it is refused as too expensive."`
	QueryConcurrency  string `name:"query-concurrency" env:"QUERY_CONCURRENCY" default:"0" help:"Questions that read events at once; others wait for their turn. 0: 2 with PostgreSQL; half of the CPUs, at least 1, with the embedded database."`
	QueryMaxEvents    string `name:"query-max-events" env:"QUERY_MAX_EVENTS" default:"50000000" help:"Events that one question may read; one that would read more is refused as too expensive."`
	PGMaxConns        string `name:"pg-max-conns" env:"PG_MAX_CONNS" default:"10" help:"Connections to PostgreSQL that one replica may open, at least 6. Questions have QUERY_CONCURRENCY and 4 more."`
	StartupTimeout    string `name:"startup-timeout" env:"STARTUP_TIMEOUT" default:"30s" help:"How long to wait for PostgreSQL at the start."`
	ShutdownDelay     string `name:"shutdown-delay" env:"SHUTDOWN_DELAY" default:"1s" help:"After SIGTERM, how long to go on serving while /readyz answers 503, so that load balancers look elsewhere. Ctrl-C doesn't wait."`
	ShutdownTimeout   string `name:"shutdown-timeout" env:"SHUTDOWN_TIMEOUT" default:"20s" help:"How long requests in flight may take to finish at the end."`
	ValidateResponses string `name:"validate-responses" env:"VALIDATE_RESPONSES" default:"false" help:"true: check every answer against the contract before it is sent. For development: it is slow."`
	PprofAddr         string `name:"pprof-addr" env:"PPROF_ADDR" default:"" help:"Address of Go's profiler, /debug/pprof/, like 127.0.0.1:6060; nobody else should reach it. Empty: off."`
	LogLevel          string `name:"log-level" env:"LOG_LEVEL" default:"INFO" help:"DEBUG, INFO, WARN or ERROR."`
	LogFormat         string `name:"log-format" env:"LOG_FORMAT" default:"auto" help:"text, json, or auto: text on a terminal, else json."`
}

// Config is what the settings mean.
type Config struct {
	Addr              string
	PGURL             string // empty: embedded
	RedisURL          string // empty: in-process
	DataDir           string
	RateLimit         int // requests per minute and client; 0: off
	TrustedProxies    []netip.Prefix
	CORSOrigins       []string // as browsers write them, or * alone; empty: none
	MaxFutureSkew     time.Duration
	RequestTimeout    time.Duration
	BodyTimeout       time.Duration
	MaxBatchEvents    int
	MaxBatchBytes     int64 // bytes
	MaxInFlight       int   // requests
	MaxInFlightBytes  int64 // bytes
	QueryTimeout      time.Duration
	QueryConcurrency  int // 0: as fits the database
	QueryMaxEvents    int64
	PGMaxConns        int
	StartupTimeout    time.Duration
	ShutdownDelay     time.Duration
	ShutdownTimeout   time.Duration
	ValidateResponses bool
	PprofAddr         string // empty: off
	LogLevel          slog.Level
	LogFormat         string // text, json or auto
}

// Questions returns how many questions may read events at once. With the embedded
// database they need the CPUs that events are stored with.
func (c *Config) Questions() int {
	switch {
	case c.QueryConcurrency > 0:
		return c.QueryConcurrency
	case c.Embedded():
		return max(1, runtime.NumCPU()/2)
	}
	return 2
}

// Embedded says whether the process is complete on its own.
func (c *Config) Embedded() bool { return c.PGURL == "" }

// Resolve reads the settings. The error joins every mistake, a line each, and
// never contains a URL: they carry passwords.
func (s *Settings) Resolve() (*Config, error) {
	var r resolver
	c := &Config{
		Addr:              r.addr("ADDR", s.Addr),
		PGURL:             r.url("PG_URL", s.PGURL, "postgres", "postgresql"),
		RedisURL:          r.url("REDIS_URL", s.RedisURL, "redis", "rediss"),
		DataDir:           strings.TrimSpace(s.DataDir),
		RateLimit:         r.integer("RATE_LIMIT", s.RateLimit, 0, 1_000_000_000),
		TrustedProxies:    r.prefixes("TRUSTED_PROXIES", s.TrustedProxies),
		CORSOrigins:       r.origins("CORS_ORIGINS", s.CORSOrigins),
		MaxFutureSkew:     r.duration("MAX_FUTURE_SKEW", s.MaxFutureSkew, 0, 24*time.Hour),
		RequestTimeout:    r.duration("REQUEST_TIMEOUT", s.RequestTimeout, 100*time.Millisecond, 5*time.Minute),
		BodyTimeout:       r.duration("BODY_TIMEOUT", s.BodyTimeout, 100*time.Millisecond, 5*time.Minute),
		MaxBatchEvents:    r.integer("MAX_BATCH_EVENTS", s.MaxBatchEvents, 1, 5000),
		MaxBatchBytes:     r.bytes("MAX_BATCH_BYTES", s.MaxBatchBytes, 1<<10, 8<<20),
		MaxInFlight:       r.integer("MAX_IN_FLIGHT_REQUESTS", s.MaxInFlight, 1, 1_000_000),
		MaxInFlightBytes:  r.bytes("MAX_IN_FLIGHT_BYTES", s.MaxInFlightBytes, 16<<20, 1<<40),
		QueryTimeout:      r.duration("QUERY_TIMEOUT", s.QueryTimeout, 100*time.Millisecond, time.Hour),
		QueryConcurrency:  r.integer("QUERY_CONCURRENCY", s.QueryConcurrency, 0, 1000),
		QueryMaxEvents:    int64(r.integer("QUERY_MAX_EVENTS", s.QueryMaxEvents, 1, math.MaxInt)),
		PGMaxConns:        r.integer("PG_MAX_CONNS", s.PGMaxConns, 6, 1000),
		StartupTimeout:    r.duration("STARTUP_TIMEOUT", s.StartupTimeout, 0, time.Hour),
		ShutdownDelay:     r.duration("SHUTDOWN_DELAY", s.ShutdownDelay, 0, 10*time.Minute),
		ShutdownTimeout:   r.duration("SHUTDOWN_TIMEOUT", s.ShutdownTimeout, time.Second, 10*time.Minute),
		ValidateResponses: r.boolean("VALIDATE_RESPONSES", s.ValidateResponses),
		LogLevel:          r.level("LOG_LEVEL", s.LogLevel),
		LogFormat:         r.oneOf("LOG_FORMAT", s.LogFormat, "auto", "text", "json"),
	}
	if strings.TrimSpace(s.PprofAddr) != "" {
		c.PprofAddr = r.addr("PPROF_ADDR", s.PprofAddr)
	}
	if c.Embedded() && s.RedisURL != "" {
		r.fail("REDIS_URL", "needs PG_URL: what replicas share makes no sense with an embedded database; set PG_URL or leave out REDIS_URL")
	}
	if c.Embedded() && c.DataDir == "" {
		r.fail("DATA_DIR", "must name a directory")
	}
	return c, errors.Join(r.errs...)
}

// resolver reads values and keeps what's wrong with them.
type resolver struct{ errs []error }

func (r *resolver) fail(name, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...)))
}

func (r *resolver) addr(name, text string) string {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		r.fail(name, "%q is not host:port, like :8000 or 127.0.0.1:8000", text)
		return text
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		r.fail(name, "the port of %q must be a number from 0 to 65535", text)
	} else {
		port = strconv.FormatUint(n, 10)
	}
	return net.JoinHostPort(host, port)
}

func (r *resolver) url(name, text string, schemes ...string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	scheme, _, found := strings.Cut(text, "://")
	for _, s := range schemes {
		if found && strings.EqualFold(scheme, s) {
			// Several hosts with ports are not a URL to net/url; the drivers
			// parse them. What they have in common is checked here.
			if _, err := url.Parse(schemes[0] + "://" + firstHost(text[len(scheme)+3:])); err != nil {
				r.fail(name, "is not a valid URL (not shown: it may contain a password)")
			}
			return text
		}
	}
	r.fail(name, "must start with %s://", strings.Join(schemes, ":// or "))
	return ""
}

// firstHost drops every host of a list but the first.
func firstHost(rest string) string {
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, _, _ := strings.Cut(rest[:end], ",")
	return authority + rest[end:]
}

func (r *resolver) integer(name, text string, lowest, highest int) int {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < lowest || n > highest {
		r.fail(name, "%q is not a whole number from %d to %d", text, lowest, highest)
		return lowest
	}
	return n
}

// sizeUnits are the suffixes of sizes, the longest first.
var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}, {"", 1}}

func (r *resolver) bytes(name, text string, lowest, highest int64) int64 {
	text = strings.TrimSpace(text)
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > highest/unit.bytes || n*unit.bytes < lowest {
			break
		}
		return n * unit.bytes
	}
	r.fail(name, "%q is not a size from %s to %s, like 65536, 64KiB or 8MiB", text, size(lowest), size(highest))
	return lowest
}

// size writes a number of bytes with the largest unit that keeps it whole.
func size(n int64) string {
	best := sizeUnits[len(sizeUnits)-2]
	for _, unit := range sizeUnits {
		if n%unit.bytes == 0 && unit.bytes > best.bytes {
			best = unit
		}
	}
	return strconv.FormatInt(n/best.bytes, 10) + best.suffix
}

func (r *resolver) duration(name, text string, lowest, highest time.Duration) time.Duration {
	d, err := time.ParseDuration(strings.TrimSpace(text))
	if err != nil || d < lowest || d > highest {
		r.fail(name, "%q is not a duration from %s to %s, like 500ms, 5s or 1h", text, lowest, highest)
		return lowest
	}
	return d
}

func (r *resolver) boolean(name, text string) bool {
	return r.oneOf(name, text, "false", "true") == "true"
}

func (r *resolver) prefixes(name, text string) []netip.Prefix {
	var prefixes []netip.Prefix
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		p, err := netip.ParsePrefix(part)
		if err != nil {
			addr, addrErr := netip.ParseAddr(part)
			if addrErr != nil {
				r.fail(name, "%q is not a network, like 10.0.0.0/8, nor an address", part)
				continue
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		prefixes = append(prefixes, p.Masked())
	}
	return prefixes
}

// origins reads web origins and writes each as browsers do (RFC 6454, section 6.2).
func (r *resolver) origins(name, text string) []string {
	var origins []string
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		origin, wrong := webOrigin(part)
		if wrong != "" {
			r.fail(name, "%q %s", part, wrong)
			continue
		}
		if !slices.Contains(origins, origin) {
			origins = append(origins, origin)
		}
	}
	if len(origins) > 1 && slices.Contains(origins, "*") {
		r.fail(name, "* is every origin: list it alone, or leave it out")
	}
	return origins
}

// webOrigin returns the origin as browsers write it, or what is wrong with it.
func webOrigin(text string) (origin, wrong string) {
	if text == "*" {
		return text, ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", "is not an origin, like https://shop.example or http://localhost:5173, nor *"
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return "", "has a port that is not a number from 1 to 65535"
	}
	switch {
	case u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(text, "#"):
		return "", "is more than an origin: give the scheme, the host and the port, and leave out what follows, a slash too"
	case strings.Contains(host, "*"):
		return "", "has a wildcard: list each origin, or * alone for every one"
	case strings.ContainsFunc(host, func(c rune) bool { return c > unicode.MaxASCII }):
		return "", "has a host that browsers write otherwise: give its ASCII form, xn--…"
	case port == "" && strings.HasSuffix(u.Host, ":"):
		return "", "has a colon and no port after it"
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" && port != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		host += ":" + port
	}
	return u.Scheme + "://" + host, ""
}

func (r *resolver) level(name, text string) slog.Level {
	switch strings.ToUpper(strings.TrimSpace(text)) {
	case "DEBUG":
		return slog.LevelDebug
	case "INFO":
		return slog.LevelInfo
	case "WARN", "WARNING":
		return slog.LevelWarn
	case "ERROR":
		return slog.LevelError
	}
	r.fail(name, "%q is not one of DEBUG, INFO, WARN, ERROR", text)
	return slog.LevelInfo
}

func (r *resolver) oneOf(name, text string, allowed ...string) string {
	text = strings.ToLower(strings.TrimSpace(text))
	for _, a := range allowed {
		if text == a {
			return a
		}
	}
	r.fail(name, "%q is not one of %s", text, strings.Join(allowed, ", "))
	return allowed[0]
}
