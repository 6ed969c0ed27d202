package app_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"highload.example/analytics/impl/config"
	"highload.example/analytics/impl/testkit"
)

func TestVersionAndHelp(t *testing.T) {
	t.Parallel()
	code, out, _ := run(t, []string{"version"})
	if code != 0 || !regexp.MustCompile(`^analytics test \(go1\.\d+.*\)\n$`).MatchString(out) {
		t.Errorf("version: %d %q", code, out)
	}
	code, out, _ = run(t, []string{"--help"})
	for _, command := range []string{"serve", "migrate", "healthcheck", "version"} {
		if code != 0 || !strings.Contains(out, "\n  "+command) {
			t.Errorf("--help: %d, %s is not there:\n%s", code, command, out)
		}
	}
	for _, command := range []string{"serve", "migrate"} {
		code, out, _ = run(t, []string{command, "--help"})
		for line := range strings.SplitSeq(strings.TrimSpace(config.Markdown()), "\n") {
			cells := strings.Split(line, "|")
			name, flag := strings.Trim(cells[1], " `"), strings.Trim(cells[2], " `")
			if !regexp.MustCompile(`^[A-Z_]+$`).MatchString(name) {
				continue // the table's head
			}
			if code != 0 || !strings.Contains(out, flag) || !strings.Contains(out, "$"+name) {
				t.Errorf("%s --help doesn't show %s and %s:\n%s", command, name, flag, out)
			}
			if def := strings.Trim(cells[3], " `"); def != "" && !strings.Contains(out, def) {
				t.Errorf("%s --help doesn't show the default of %s, %s", command, name, def)
			}
		}
	}
}

func TestUsageErrorsExitWith2(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--nonsense"}, {"nonsense"}, {"serve", "extra"}, {"healthcheck", "--timeout=soon"}} {
		code, _, errs := run(t, args)
		if code != 2 || strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "analytics: ") || !strings.Contains(errs, "--help") {
			t.Errorf("%q: %d %q", args, code, errs)
		}
	}
}

func TestBadSettingsAreReportedAllAtOnce(t *testing.T) {
	t.Parallel()
	code, out, errs := run(t, nil,
		"ADDR=8000", "RATE_LIMIT=-1", "LOG_LEVEL=LOUD", "LOG_FORMAT=xml", "TRUSTED_PROXIES=10.0.0.0/8,nonsense/99", "MAX_FUTURE_SKEW=soon",
		"PG_URL=mysql://user:secret@db/x", "REDIS_URL=http://:secret@redis", "PG_MAX_CONNS=1", "REQUEST_TIMEOUT=1h", "SHUTDOWN_DELAY=-1s")
	if code != 1 || out != "" {
		t.Errorf("exit code %d, stdout %q", code, out)
	}
	lines := strings.Split(strings.TrimSpace(errs), "\n")
	for _, name := range []string{"ADDR", "RATE_LIMIT", "LOG_LEVEL", "LOG_FORMAT", "TRUSTED_PROXIES", "MAX_FUTURE_SKEW", "PG_URL", "REDIS_URL", "PG_MAX_CONNS", "REQUEST_TIMEOUT", "SHUTDOWN_DELAY"} {
		found := 0
		for _, line := range lines {
			if strings.HasPrefix(line, "analytics: "+name+": ") {
				found++
			}
		}
		if found == 0 {
			t.Errorf("nothing is said of %s:\n%s", name, errs)
		}
	}
	if strings.Contains(errs, "secret") {
		t.Errorf("a password is shown:\n%s", errs)
	}
}

func TestStartFailuresAreOneLine(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() }) // after the parallel subtests
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	nobody := fmt.Sprint("127.0.0.1:", testkit.FreePort(t))
	for name, test := range map[string]struct {
		args []string
		env  []string
		want string
	}{
		"port in use":             {env: []string{"ADDR=" + taken.Addr().String(), "DATA_DIR=" + t.TempDir()}, want: "ADDR: can't listen on " + taken.Addr().String()},
		"data directory a file":   {env: []string{"ADDR=127.0.0.1:0", "DATA_DIR=" + file}, want: file},
		"data directory in /proc": {env: []string{"ADDR=127.0.0.1:0", "DATA_DIR=/proc/nowhere"}, want: "/proc/nowhere"},
		"redis without postgres":  {env: []string{"ADDR=127.0.0.1:0", "REDIS_URL=redis://127.0.0.1:1"}, want: "REDIS_URL: needs PG_URL"},
		"database unreachable":    {env: []string{"ADDR=127.0.0.1:0", "STARTUP_TIMEOUT=1s", "LOG_LEVEL=ERROR", "PG_URL=postgres://u:secret@" + nobody + "/db"}, want: "PG_URL: "},
		"migrate without":         {args: []string{"migrate"}, want: "PG_URL: must be set"},
		"migrate unreachable":     {args: []string{"migrate"}, env: []string{"STARTUP_TIMEOUT=1s", "LOG_LEVEL=ERROR", "PG_URL=postgres://u:secret@" + nobody + "/db"}, want: "PG_URL: "},
		"nobody to be healthy":    {args: []string{"healthcheck"}, env: []string{"ADDR=" + nobody}, want: "not ready"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := run(t, test.args, test.env...)
			var said []string
			for line := range strings.SplitSeq(strings.TrimSpace(errs), "\n") {
				if !strings.HasPrefix(line, "{") { // not a log line
					said = append(said, line)
				}
			}
			if code != 1 || out != "" || len(said) != 1 || !strings.HasPrefix(said[0], "analytics: ") || !strings.Contains(said[0], test.want) {
				t.Errorf("exit code %d, stdout %q, stderr:\n%s", code, out, errs)
			}
			if strings.Contains(errs, "secret") {
				t.Errorf("a password is shown:\n%s", errs)
			}
		})
	}
}

func TestUnreachableDatabaseIsWaitedForAloud(t *testing.T) {
	t.Parallel()
	code, _, errs := run(t, nil, "ADDR=127.0.0.1:0", "STARTUP_TIMEOUT=1s", fmt.Sprintf("PG_URL=postgres://u:secret@127.0.0.1:%d/db", testkit.FreePort(t)))
	if code != 1 || !strings.Contains(errs, "waiting for PostgreSQL") || strings.Contains(errs, "secret") {
		t.Errorf("exit code %d:\n%s", code, errs)
	}
}

func TestMigrateAndHealthcheck(t *testing.T) {
	t.Parallel()
	url := testkit.EmptyPostgres(t)
	for range 2 { // the second finds nothing to do
		if code, out, errs := run(t, []string{"migrate"}, "PG_URL="+url); code != 0 || out != "The database is at this version's schema.\n" {
			t.Errorf("migrate: %d %q\n%s", code, out, errs)
		}
	}
	s := start(t, "PG_URL="+url)
	addr := strings.TrimPrefix(s.URL, "http://")
	// A machine too busy for a ping makes it unready for a moment.
	testkit.Eventually(t, patience, "the health check to succeed", func() bool {
		code, out, _ := run(t, []string{"healthcheck", "--timeout", "1m"}, "ADDR="+addr)
		return code == 0 && out == "ready\n"
	})
	if !strings.Contains(s.log(), "single replica") || !strings.Contains(s.out(), "single replica") {
		t.Errorf("PG_URL without REDIS_URL isn't said to be a single replica:\n%s%s", s.out(), s.log())
	}
}
