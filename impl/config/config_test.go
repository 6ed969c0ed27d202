package config_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"highload.example/analytics/impl/config"
)

// defaults are the settings of someone who set nothing.
func defaults() *config.Settings {
	s := &config.Settings{}
	value := reflect.ValueOf(s).Elem()
	for i := range value.NumField() {
		value.Field(i).SetString(value.Type().Field(i).Tag.Get("default"))
	}
	return s
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, err := defaults().Resolve()
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Addr: ":8000", DataDir: "./data", RateLimit: 1500, MaxFutureSkew: time.Hour, RequestTimeout: 5 * time.Second,
		BodyTimeout: 15 * time.Second, MaxBatchEvents: 5000, MaxBatchBytes: 8 << 20, MaxInFlight: 4096, MaxInFlightBytes: 64 << 20,
		QueryTimeout: 10 * time.Second, QueryMaxEvents: 50_000_000, PGMaxConns: 10, StartupTimeout: 30 * time.Second, ShutdownDelay: time.Second,
		ShutdownTimeout: 20 * time.Second, LogLevel: slog.LevelInfo, LogFormat: "auto",
	}
	if !reflect.DeepEqual(c, want) || !c.Embedded() {
		t.Errorf("got %+v\nwant %+v", c, want)
	}
}

func TestGoodSettings(t *testing.T) {
	t.Parallel()
	s := defaults()
	s.Addr, s.PGURL, s.RedisURL = "[::1]:0", "postgresql://u:p%40ss@a:1,b:2/db?sslmode=disable", "rediss://:p@c:6379/3"
	s.TrustedProxies, s.RateLimit, s.LogLevel, s.LogFormat, s.ValidateResponses = " 10.1.2.3/8 ,::1, 192.0.2.7", "0", "debug", "JSON", "true"
	c, err := s.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("192.0.2.7/32")}
	if c.Addr != "[::1]:0" || c.PGURL != s.PGURL || c.RedisURL != s.RedisURL || c.Embedded() || c.RateLimit != 0 ||
		!slices.Equal(c.TrustedProxies, proxies) || c.LogLevel != slog.LevelDebug || c.LogFormat != "json" || !c.ValidateResponses {
		t.Errorf("got %+v", c)
	}
}

func TestBadSettings(t *testing.T) {
	t.Parallel()
	const pg = "postgres://db/x"
	for name, test := range map[string]struct {
		change func(*config.Settings)
		want   []string // beginnings of lines
	}{
		"no port":               {func(s *config.Settings) { s.Addr = "8000" }, []string{`ADDR: "8000" is not host:port`}},
		"port too high":         {func(s *config.Settings) { s.Addr = ":65536" }, []string{"ADDR: the port of"}},
		"port by name":          {func(s *config.Settings) { s.Addr = ":http" }, []string{"ADDR: the port of"}},
		"another database":      {func(s *config.Settings) { s.PGURL = "mysql://u:secret@db" }, []string{"PG_URL: must start with postgres://"}},
		"no scheme":             {func(s *config.Settings) { s.PGURL = "u:secret@db/x" }, []string{"PG_URL: must start with"}},
		"no URL":                {func(s *config.Settings) { s.PGURL = "postgres://u:secret@%zz/x" }, []string{"PG_URL: is not a valid URL"}},
		"another cache":         {func(s *config.Settings) { s.PGURL, s.RedisURL = pg, "http://:secret@c" }, []string{"REDIS_URL: must start with redis://"}},
		"redis alone":           {func(s *config.Settings) { s.RedisURL = "redis://c" }, []string{"REDIS_URL: needs PG_URL"}},
		"no directory":          {func(s *config.Settings) { s.DataDir = " " }, []string{"DATA_DIR: must name"}},
		"negative limit":        {func(s *config.Settings) { s.RateLimit = "-1" }, []string{`RATE_LIMIT: "-1" is not a whole number from 0`}},
		"limit in words":        {func(s *config.Settings) { s.RateLimit = "many" }, []string{"RATE_LIMIT: "}},
		"bad network":           {func(s *config.Settings) { s.TrustedProxies = "10.0.0.0/8,x/9" }, []string{`TRUSTED_PROXIES: "x/9"`}},
		"an origin by name":     {func(s *config.Settings) { s.CORSOrigins = "shop.example" }, []string{`CORS_ORIGINS: "shop.example" is not an origin, like https://`}},
		"an origin of files":    {func(s *config.Settings) { s.CORSOrigins = "null" }, []string{`CORS_ORIGINS: "null" is not an origin`}},
		"an origin with a path": {func(s *config.Settings) { s.CORSOrigins = "https://shop.example/" }, []string{`CORS_ORIGINS: "https://shop.example/" is more than an origin`}},
		"an origin with a star": {func(s *config.Settings) { s.CORSOrigins = "https://*.example" }, []string{`CORS_ORIGINS: "https://*.example" has a wildcard`}},
		"an origin in Umlauts":  {func(s *config.Settings) { s.CORSOrigins = "https://käse.example" }, []string{`CORS_ORIGINS: "https://käse.example" has a host that browsers write otherwise`}},
		"an origin's bad port":  {func(s *config.Settings) { s.CORSOrigins = "https://a:65536" }, []string{`CORS_ORIGINS: "https://a:65536" has a port`}},
		"an origin's no port":   {func(s *config.Settings) { s.CORSOrigins = "https://a:" }, []string{`CORS_ORIGINS: "https://a:" has a colon`}},
		"every origin and one":  {func(s *config.Settings) { s.CORSOrigins = "*,https://a" }, []string{"CORS_ORIGINS: * is every origin"}},
		"two bad origins":       {func(s *config.Settings) { s.CORSOrigins = "a,https://b,ftp://c" }, []string{`CORS_ORIGINS: "a"`, `CORS_ORIGINS: "ftp://c"`}},
		"skew without a unit":   {func(s *config.Settings) { s.MaxFutureSkew = "60" }, []string{"MAX_FUTURE_SKEW: "}},
		"skew too long":         {func(s *config.Settings) { s.MaxFutureSkew = "25h" }, []string{"MAX_FUTURE_SKEW: "}},
		"no time for requests":  {func(s *config.Settings) { s.RequestTimeout = "1ms" }, []string{"REQUEST_TIMEOUT: "}},
		"no time for bodies":    {func(s *config.Settings) { s.BodyTimeout = "0" }, []string{"BODY_TIMEOUT: "}},
		"too few connections":   {func(s *config.Settings) { s.PGMaxConns = "5" }, []string{"PG_MAX_CONNS: "}},
		"negative start":        {func(s *config.Settings) { s.StartupTimeout = "-1s" }, []string{"STARTUP_TIMEOUT: "}},
		"negative delay":        {func(s *config.Settings) { s.ShutdownDelay = "-1s" }, []string{"SHUTDOWN_DELAY: "}},
		"no time to stop":       {func(s *config.Settings) { s.ShutdownTimeout = "1ms" }, []string{"SHUTDOWN_TIMEOUT: "}},
		"a level of its own":    {func(s *config.Settings) { s.LogLevel = "LOUD" }, []string{`LOG_LEVEL: "LOUD" is not one of`}},
		"a format of its own":   {func(s *config.Settings) { s.LogFormat = "xml" }, []string{"LOG_FORMAT: "}},
		"neither true nor not":  {func(s *config.Settings) { s.ValidateResponses = "maybe" }, []string{"VALIDATE_RESPONSES: "}},
		"too many events":       {func(s *config.Settings) { s.MaxBatchEvents = "5001" }, []string{`MAX_BATCH_EVENTS: "5001" is not a whole number from 1 to 5000`}},
		"too large a batch":     {func(s *config.Settings) { s.MaxBatchBytes = "9MiB" }, []string{`MAX_BATCH_BYTES: "9MiB" is not a size from 1KiB to 8MiB`}},
		"a size in words":       {func(s *config.Settings) { s.MaxInFlightBytes = "plenty" }, []string{"MAX_IN_FLIGHT_BYTES: "}},
		"a size past all sizes": {func(s *config.Settings) { s.MaxInFlightBytes = "9999999999999GiB" }, []string{"MAX_IN_FLIGHT_BYTES: "}},
		"no requests at all":    {func(s *config.Settings) { s.MaxInFlight = "0" }, []string{"MAX_IN_FLIGHT_REQUESTS: "}},
		"profiler without port": {func(s *config.Settings) { s.PprofAddr = "localhost" }, []string{`PPROF_ADDR: "localhost" is not host:port`}},
		"several, all reported": {func(s *config.Settings) { s.Addr, s.RateLimit, s.LogLevel = "x", "y", "z" }, []string{"ADDR: ", "RATE_LIMIT: ", "LOG_LEVEL: "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := defaults()
			test.change(s)
			_, err := s.Resolve()
			if err == nil {
				t.Fatal("accepted")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.want) {
				t.Fatalf("said %q, want %q", lines, test.want)
			}
			for i, line := range lines {
				if !strings.HasPrefix(line, test.want[i]) || strings.Contains(line, "secret") {
					t.Errorf("said %q, want %q", line, test.want[i])
				}
			}
		})
	}
}

func TestReadmeShowsEverySetting(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, begins := strings.Cut(string(readme), "<!-- settings:begin -->\n")
	table, _, ends := strings.Cut(rest, "<!-- settings:end -->")
	if !begins || !ends || table != config.Markdown() {
		t.Errorf("the table of settings in README.md is out of date: between the settings: marks put\n%s", config.Markdown())
	}
	for field := range reflect.TypeFor[config.Settings]().Fields() {
		for _, tag := range []string{"name", "env", "help"} {
			if field.Tag.Get(tag) == "" {
				t.Errorf("%s has no %s", field.Name, tag)
			}
		}
		if want := strings.ToLower(strings.ReplaceAll(field.Tag.Get("env"), "_", "-")); field.Tag.Get("name") != want {
			t.Error(fmt.Sprint("the flag of ", field.Name, " is not named like its variable, ", want))
		}
	}
}

func TestSizesHaveUnits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"65536": 65536, " 64KiB ": 65536, "1 MiB": 1 << 20, "2000B": 2000, "8MiB": 8 << 20} {
		s := defaults()
		s.MaxBatchBytes = text
		if c, err := s.Resolve(); err != nil || c.MaxBatchBytes != want {
			t.Errorf("%q: %v, %v", text, c.MaxBatchBytes, err)
		}
	}
}

func TestOriginsAreWrittenAsBrowsersDo(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"": nil, " , ": nil, " * ": {"*"},
		"HTTPS://Shop.Example:443, http://a:80,http://a": {"https://shop.example", "http://a"},
		"http://a:443,http://localhost:5173":             {"http://a:443", "http://localhost:5173"},
		"http://[::1]:8080,https://[FE80::1]":            {"http://[::1]:8080", "https://[fe80::1]"},
	} {
		s := defaults()
		s.CORSOrigins = text
		if c, err := s.Resolve(); err != nil || !slices.Equal(c.CORSOrigins, want) {
			t.Errorf("%q: %q, %v; want %q", text, c.CORSOrigins, err, want)
		}
	}
}
