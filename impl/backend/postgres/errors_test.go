package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"highload.example/analytics/impl/event"
)

func TestTranslate(t *testing.T) {
	t.Parallel()
	const value = "a value that is nobody's business"
	server := func(code string) error {
		return fmt.Errorf("exec: %w", &pgconn.PgError{Code: code, Message: "the message", Detail: value, Where: value, InternalQuery: value})
	}
	unavailable := []string{
		"08000", "08006", "25006", "25P03", "26000", "28P01", "3D000", "40001", "40P01", "53000", "53100", "53200",
		"53300", "55P03", "57014", "57P01", "57P02", "57P03", "57P05", "58030",
	}
	invalid := []string{"22001", "22021", "22P02", "22P05", "23502", "23505", "23514", "54000"}
	defect := []string{"0A000", "25P02", "42501", "42601", "42703", "42P01", "55000", "P0001", "XX000", "XX001", "", "9"}

	type expectation struct {
		err  error
		kind error // nil: a defect
	}
	var all []expectation
	for _, c := range unavailable {
		all = append(all, expectation{server(c), event.ErrUnavailable})
	}
	for _, c := range invalid {
		all = append(all, expectation{server(c), event.ErrInvalid})
	}
	for _, c := range defect {
		all = append(all, expectation{server(c), nil})
	}
	all = append(all,
		expectation{&pgconn.PgError{Code: "0A000", Message: "cached plan must not change result type"}, event.ErrUnavailable},
		expectation{io.EOF, event.ErrUnavailable},
		expectation{fmt.Errorf("receive: %w", io.ErrUnexpectedEOF), event.ErrUnavailable},
		expectation{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, event.ErrUnavailable},
		expectation{&net.OpError{Op: "write", Err: syscall.EPIPE}, event.ErrUnavailable},
		expectation{net.ErrClosed, event.ErrUnavailable},
		expectation{pgconn.ErrConnClosed, event.ErrUnavailable},
		expectation{context.DeadlineExceeded, event.ErrUnavailable}, // the driver's own, not the caller's
		expectation{puddle.ErrClosedPool, event.ErrUnavailable},
		expectation{errors.New("can't scan into dest[0]"), nil},
		expectation{errors.New("failed to encode args[0]: " + value), nil},
	)
	for _, want := range all {
		err := translate(t.Context(), "test", want.err)
		for _, kind := range []error{event.ErrUnavailable, event.ErrInvalid} {
			if got := errors.Is(err, kind); got != errors.Is(want.kind, kind) {
				t.Errorf("%v: matches %v: %t", want.err, kind, got)
			}
		}
		if want.kind == nil && !errors.Is(err, errors.Unwrap(fmt.Errorf("%w", want.err))) {
			t.Errorf("%v: a defect lost its cause", want.err)
		}
		if want.kind != nil && errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v: looks like the caller's own deadline", want.err)
		}
		if text := err.Error(); strings.Contains(text, value) || !strings.HasPrefix(text, "postgres: test: ") || strings.Contains(text, "\n") {
			t.Errorf("%v: the text is %q", want.err, text)
		}
	}
	if err := translate(t.Context(), "test", nil); err != nil {
		t.Errorf("no error became %v", err)
	}
}

func TestTranslateKeepsTheCallersCancellation(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	for _, ctx := range []context.Context{cancelled, expired} {
		want := ctx.Err()
		for _, err := range []error{io.EOF, want, &pgconn.PgError{Code: "57014"}, errors.New("anything")} {
			got := translate(ctx, "test", err)
			if !errors.Is(got, want) || !errors.Is(got, event.ErrUnavailable) {
				t.Errorf("%v after %v became %v", err, want, got)
			}
		}
		// The server's answer came all the same, and is worth more.
		if got := translate(ctx, "test", &pgconn.PgError{Code: "22P05"}); !errors.Is(got, event.ErrInvalid) {
			t.Errorf("22P05 after %v became %v", want, got)
		}
	}
}

func TestNoErrorContainsThePassword(t *testing.T) {
	t.Parallel()
	const password = "s3cr3t-Pa55"
	for _, url := range []string{
		"postgres://u:s3cr3t-Pa55@127.0.0.1:1/db",
		"postgres://u:s3cr3t-Pa55@127.0.0.1:1,127.0.0.1:2/db?sslmode=disable",
		"postgres://u:s3cr3t-Pa55@no-such-host.invalid/db",
		"postgres://u:s3cr3t-Pa55@127.0.0.1:1/db?sslmode=s3cr3t-Pa55",
		"postgres://u:s3cr3t-Pa55@127.0.0.1:1/db?connect_timeout=x",
		"postgres://u:s3cr3t-Pa55@127.0.0.1:port/db",
		"postgres://u:%zzs3cr3t-Pa55@127.0.0.1/db",
		"postgres://u:s3cr3t-Pa55/x@127.0.0.1/db",
		"postgres://u:s3cr3t-Pa55#@127.0.0.1/db",
		"postgres://127.0.0.1:1/db?user=u&password=s3cr3t-Pa55&sslmode=nonsense",
		"mysql://u:s3cr3t-Pa55@127.0.0.1/db",
		"host=127.0.0.1 port=1 user=u password=s3cr3t-Pa55 dbname=db",
		"host=127.0.0.1 port=x user=u password=s3cr3t-Pa55 dbname=db",
		"host=127.0.0.1 password='s3cr3t-Pa55",
		"s3cr3t-Pa55",
	} {
		var errs []error
		s, err := Open(t.Context(), Config{URL: url, ConnectTimeout: time.Second})
		errs = append(errs, err)
		if err == nil {
			err := s.Ping(t.Context())
			if !errors.Is(err, event.ErrUnavailable) {
				t.Errorf("Ping of a server that isn't there: %v", err)
			}
			_, err2 := s.OpenWriter(t.Context())
			errs = append(errs, err, err2, s.Close())
		} else if !errors.Is(err, event.ErrInvalid) {
			t.Errorf("Open: %v, want ErrInvalid", err)
		}
		errs = append(errs, Migrate(t.Context(), url, slog.New(slog.DiscardHandler)))
		text := fmt.Sprintf("%v %+v", errs, errs)
		t.Log(strings.ReplaceAll(fmt.Sprint(errs[0], errs[1]), password, "****"))
		for n := len(password); n >= 4; n-- {
			for i := 0; i+n <= len(password); i++ {
				if strings.Contains(text, password[i:i+n]) {
					t.Fatalf("the errors contain %d characters of the password", n)
				}
			}
		}
	}
}

func TestEmptyURL(t *testing.T) {
	t.Parallel()
	if _, err := Open(t.Context(), Config{}); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("Open: %v", err)
	}
	if err := Migrate(t.Context(), "", nil); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("Migrate: %v", err)
	}
}

func TestPoolConfig(t *testing.T) {
	t.Parallel()
	const one, two = "postgres://u@a:5432/db", "postgres://u@a:5432,b:5432/db"
	for _, c := range []struct {
		config    Config
		max       int32
		readWrite bool
		timeout   time.Duration
		app       string
	}{
		{Config{URL: one}, 10, false, 5 * time.Second, "analytics"},
		{Config{URL: one + "?pool_max_conns=3&connect_timeout=7&application_name=x"}, 3, false, 7 * time.Second, "x"},
		{Config{URL: one + "?pool_max_conns=3", MaxConns: 20, ConnectTimeout: time.Second}, 20, false, time.Second, "analytics"},
		{Config{URL: two}, 10, true, 5 * time.Second, "analytics"},
		{Config{URL: two + "?target_session_attrs=any"}, 10, false, 5 * time.Second, "analytics"},
		{Config{URL: two + "?target_session_attrs=primary"}, 10, true, 5 * time.Second, "analytics"},
		{Config{URL: "host=a,b port=5432,5433 user=u"}, 10, true, 5 * time.Second, "analytics"},
	} {
		cfg, err := poolConfig(c.config.withDefaults())
		if err != nil {
			t.Fatal(err)
		}
		conn := cfg.ConnConfig
		if cfg.MaxConns != c.max || (conn.ValidateConnect != nil) != c.readWrite || conn.ConnectTimeout != c.timeout ||
			conn.RuntimeParams["application_name"] != c.app {
			t.Errorf("%s: %d connections, checks its target: %t, %v to connect, named %q", c.config.URL,
				cfg.MaxConns, conn.ValidateConnect != nil, conn.ConnectTimeout, conn.RuntimeParams["application_name"])
		}
		if conn.RuntimeParams["timezone"] != "UTC" || conn.RuntimeParams["statement_timeout"] != "10000" || cfg.MaxConnLifetimeJitter <= 0 {
			t.Errorf("%s: %v", c.config.URL, conn.RuntimeParams)
		}
	}
}

func TestCheckVersion(t *testing.T) {
	t.Parallel()
	for number, ok := range map[string]bool{"150000": true, "150018": true, "180001": true, "140020": false, "90624": false, "x": false} {
		err := checkVersion(number)
		if (err == nil) != ok || (err != nil && !errors.Is(err, event.ErrConflict)) {
			t.Errorf("version %s: %v", number, err)
		}
	}
	if err := checkVersion("140020"); !strings.Contains(err.Error(), "PostgreSQL 15 or newer is needed, the server is version 14.20") {
		t.Error(err)
	}
}

func TestMonth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ at, begin, end string }{
		{"2023-07-22T04:26:40Z", "2023-07-01T00:00:00Z", "2023-08-01T00:00:00Z"},
		{"2024-02-29T23:59:59Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"},
		{"2023-12-31T23:59:59Z", "2023-12-01T00:00:00Z", "2024-01-01T00:00:00Z"},
		{"2000-01-01T00:00:00Z", "2000-01-01T00:00:00Z", "2000-02-01T00:00:00Z"},
	} {
		begin, end := month(unix(t, c.at))
		if begin != unix(t, c.begin) || end != unix(t, c.end) {
			t.Errorf("month of %s: %d to %d", c.at, begin, end)
		}
	}
}

func unix(t *testing.T, text string) int64 {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at.Unix()
}
