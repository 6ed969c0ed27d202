package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"

	"highload.example/analytics/impl/testkit"
)

// asProgram makes the test binary be the program, race detector included.
const asProgram = "WITH_SERVERS_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	testkit.Main(m)
}

// program returns the program as a command. It runs in a process group of its own,
// as a shell would run it.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	// Where the servers aren't installed the test is skipped, or fails, here.
	testkit.EmptyPostgres(t)
	testkit.Redis(t)
	command := exec.CommandContext(t.Context(), os.Args[0], args...)
	command.Env = append(os.Environ(), asProgram+"=1")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return command
}

func TestItPassesTheCommandsExitCodeInputAndOutput(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string
	}{
		{"success", []string{"--", "true"}, 0, "", "with-servers: PostgreSQL "},
		{"without dashes", []string{"true"}, 0, "", "with-servers: PostgreSQL "},
		{"failure", []string{"--", "sh", "-c", "exit 42"}, 42, "", "started in"},
		{"signal", []string{"--", "sh", "-c", "kill -TERM $$"}, 128 + 15, "", "started in"},
		{"streams", []string{"--", "sh", "-c", "cat; echo to stderr >&2"}, 0, "to stdin", "to stderr"},
		{"a developer's own variable", []string{"--", "sh", "-c", "echo $PG_URL"}, 0, "postgres://developer", ""},
		{"no such command", []string{"--", "testkit-no-such-program"}, 127, "", "testkit-no-such-program"},
		{"no command", []string{"--"}, 2, "", "usage"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			command := program(t, c.args...)
			command.Env = append(command.Env, "PG_URL=postgres://developer")
			var stdout, stderr bytes.Buffer
			command.Stdin, command.Stdout, command.Stderr = strings.NewReader("to stdin"), &stdout, &stderr
			err := command.Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if code := command.ProcessState.ExitCode(); code != c.code {
				t.Errorf("exit code %d, not %d", code, c.code)
			}
			if !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("stdout %q, stderr %q", stdout.String(), stderr.String())
			}
		})
	}
}

// run is a program that runs, with the servers that it started.
type run struct {
	command *exec.Cmd
	stdin   io.Closer
	stderr  *bytes.Buffer
	ended   chan error // gets what Wait said
	servers []int
	dirs    []string
}

// start runs a shell script under the program: first what it does about signals,
// then, once we know the servers, what must not end before its standard input is
// closed or a signal comes.
func start(t *testing.T, trap, script string) *run {
	t.Helper()
	r := &run{
		command: program(t, "--", "sh", "-c", trap+`
			echo "$TESTKIT_PG_URL"; echo "$TESTKIT_REDIS_URL"
			`+script),
		stderr: &bytes.Buffer{},
		ended:  make(chan error, 1),
	}
	var err error
	if r.stdin, err = r.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := r.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.command.Stderr = r.stderr
	if err := r.command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	var urls []string
	for range 2 {
		line, err := lines.ReadString('\n')
		if err != nil {
			_ = r.command.Wait()
			t.Fatalf("reading the servers' URLs: %v\n%s", err, r.stderr)
		}
		urls = append(urls, strings.TrimSpace(line))
	}
	go func() { r.ended <- r.command.Wait() }()
	t.Cleanup(func() { _ = r.stdin.Close() })
	r.identifyPostgres(t, urls[0])
	r.identifyRedis(t, urls[1])
	for _, pid := range r.servers {
		if syscall.Kill(pid, 0) != nil {
			t.Fatalf("server %d doesn't run", pid)
		}
	}
	return r
}

func (r *run) identifyPostgres(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var data string
	if err := conn.QueryRow(t.Context(), "SHOW data_directory").Scan(&data); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	r.add(t, first, filepath.Dir(data))
}

func (r *run) identifyRedis(t *testing.T, url string) {
	t.Helper()
	options, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(options)
	defer client.Close()
	info, err := client.Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := client.ConfigGet(t.Context(), "dir").Result()
	if err != nil {
		t.Fatal(err)
	}
	pid := regexp.MustCompile(`process_id:(\d+)`).FindStringSubmatch(info)
	if pid == nil {
		t.Fatalf("no pid in %q", info)
	}
	r.add(t, pid[1], dir["dir"])
}

func (r *run) add(t *testing.T, pid, dir string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	r.servers, r.dirs = append(r.servers, n), append(r.dirs, dir)
}

// wait returns the program's exit code, -1 when a signal ended it.
func (r *run) wait(t *testing.T) int {
	t.Helper()
	select {
	case err := <-r.ended:
		if err != nil && r.command.ProcessState == nil {
			t.Fatal(err)
		}
		return r.command.ProcessState.ExitCode()
	case <-time.After(time.Minute):
		t.Fatal("it doesn't end")
		return 0
	}
}

// mustLeaveNothing waits until the servers and their directories are gone.
func (r *run) mustLeaveNothing(t *testing.T) {
	t.Helper()
	for _, pid := range r.servers {
		testkit.Eventually(t, time.Minute, fmt.Sprintf("the end of server %d", pid), func() bool {
			return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
		})
	}
	for _, dir := range r.dirs {
		testkit.Eventually(t, time.Minute, dir+" to go", func() bool {
			_, err := os.Stat(dir)
			return errors.Is(err, os.ErrNotExist)
		})
	}
}

// endsWithInput is a command that runs until its standard input closes.
const endsWithInput = "read line; exit 3"

func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	t.Run("after the command's end", func(t *testing.T) {
		t.Parallel()
		r := start(t, "", endsWithInput)
		if err := r.stdin.Close(); err != nil {
			t.Fatal(err)
		}
		if code := r.wait(t); code != 3 {
			t.Errorf("exit code %d", code)
		}
		// It waits for its servers, so nothing has to be waited for here.
		for i, pid := range r.servers {
			if !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
				t.Errorf("server %d outlived it", pid)
			}
			if _, err := os.Stat(r.dirs[i]); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left: %v", r.dirs[i], err)
			}
		}
	})
	t.Run("after SIGKILL", func(t *testing.T) {
		t.Parallel()
		r := start(t, "", endsWithInput)
		if err := r.command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		r.mustLeaveNothing(t)
		// Wait, which reads the command's output to its end, needs it gone too.
		if err := r.stdin.Close(); err != nil {
			t.Fatal(err)
		}
		if code := r.wait(t); code != -1 {
			t.Errorf("exit code %d", code)
		}
	})
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run("after "+signal.String(), func(t *testing.T) {
			t.Parallel()
			// The command decides what a signal means: it may clean up, and have
			// the servers meanwhile.
			r := start(t, `trap 'kill $!; exit 7' INT TERM`, `sleep 60 & wait`)
			if err := r.command.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if code := r.wait(t); code != 7 {
				t.Errorf("exit code %d\n%s", code, r.stderr)
			}
			r.mustLeaveNothing(t)
		})
	}
	t.Run("after Ctrl-C", func(t *testing.T) {
		t.Parallel()
		// A terminal sends the signal to the whole group; the servers aren't in it.
		r := start(t, `trap : INT`, endsWithInput)
		for _, pid := range r.servers {
			if group, err := syscall.Getpgid(pid); err != nil || group == r.command.Process.Pid {
				t.Errorf("server %d is in the program's process group: %v", pid, err)
			}
		}
		if err := syscall.Kill(-r.command.Process.Pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := r.stdin.Close(); err != nil {
			t.Fatal(err)
		}
		if code := r.wait(t); code == 0 || code == -1 {
			t.Errorf("exit code %d: it didn't wait for the command\n%s", code, r.stderr)
		}
		r.mustLeaveNothing(t)
	})
}
