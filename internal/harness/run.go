package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// The variables that with-servers hands to the tests. They are named so that a
// developer's own PG_URL is never taken for a test server.
const (
	EnvPostgres = "TESTKIT_PG_URL"
	EnvRedis    = "TESTKIT_REDIS_URL"
)

// RunWithServers starts one PostgreSQL and one Redis, runs the command with their
// URLs in its environment, stops them, and returns the command's exit code: 127
// when it can't be started, 128 + n when signal n ended it.
// Signals go on to the command; the servers end when it has.
func RunWithServers(stderr io.Writer, command []string) int {
	started := time.Now()
	postgres, err := StartPostgres(PostgresConfig{})
	if err != nil {
		fmt.Fprintln(stderr, "with-servers:", err)
		return 1
	}
	defer postgres.Remove()
	redis, err := StartRedis()
	if err != nil {
		fmt.Fprintln(stderr, "with-servers:", err)
		return 1
	}
	defer redis.Remove()
	fmt.Fprintf(stderr, "with-servers: PostgreSQL %s on port %d and Redis %s on port %d, started in %s\n",
		postgres.version, postgres.port, redis.version, redis.port, time.Since(started).Round(time.Millisecond))

	child := exec.CommandContext(context.Background(), command[0], command[1:]...) //nolint:gosec // the developer names it
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.Env = append(os.Environ(), EnvPostgres+"="+postgres.url, EnvRedis+"="+redis.url)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := child.Start(); err != nil {
		fmt.Fprintln(stderr, "with-servers:", err)
		return 127
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = child.Process.Signal(s) // it may have ended this moment
		case err := <-ended:
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				fmt.Fprintln(stderr, "with-servers:", err)
				return 1
			}
			if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
				return 128 + int(status.Signal()) // as shells say it
			}
			return child.ProcessState.ExitCode()
		}
	}
}
