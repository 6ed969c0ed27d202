package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"highload.example/analytics/impl/backend/sqlite"
	"highload.example/analytics/impl/event"
)

// dirVariable tells a child process of TestKill what to do.
const dirVariable = "ANALYTICS_TEST_KILL_DIR"

const killBatch = 20

func TestMain(m *testing.M) {
	if dir := os.Getenv(dirVariable); dir != "" {
		fmt.Fprintln(os.Stderr, writeForever(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForever stores batch after batch and prints the number of each one that
// is committed.
func writeForever(dir string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		return err
	}
	w, err := s.OpenWriter(ctx)
	if err != nil {
		return err
	}
	outcomes := make([]event.Outcome, killBatch)
	for n := 0; ; n++ {
		if _, err := w.Write(ctx, killedBatch(n), outcomes); err != nil {
			return err
		}
		if _, err := fmt.Println(n); err != nil {
			return err
		}
	}
}

func killedBatch(n int) []event.Event {
	batch := make([]event.Event, killBatch)
	for i := range batch {
		batch[i] = login(n*killBatch + i)
	}
	return batch
}

// A process killed at any point has stored everything that it reported, and
// no batch in part.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	next := 0 // the batch after the last that was reported in this round
	for round := range 5 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), dirVariable+"="+dir)
		var stderr strings.Builder
		child.Stderr = &stderr
		pipe, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		reported := -1
		lines := bufio.NewScanner(pipe)
		for lines.Scan() {
			if reported, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(err)
			}
			// The child begins at 0 in each round, with duplicates.
			if reported == next+10+7*round {
				break
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it reported before it died
			if reported, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(err)
			}
		}
		var exit *exec.ExitError
		if err := child.Wait(); !errors.As(err, &exit) || exit.Exited() {
			t.Fatalf("the child was not killed: %v, %s", err, stderr.String())
		}
		next = max(next, reported+1)

		s := open(t, dir)
		if rows, err := s.Rows(t.Context()); err != nil || len(rows)%killBatch != 0 || len(rows) < next*killBatch {
			t.Fatalf("round %d: %d rows, %v; %d batches were reported", round, len(rows), err, next)
		} else if n := total(t, s, "login"); n != int64(len(rows)) {
			t.Fatalf("round %d: total %d, rows %d", round, n, len(rows))
		}
		w := openWriter(t, s)
		for n := range next {
			for _, o := range write(t, w, killedBatch(n)...) {
				if o != event.Duplicate {
					t.Fatalf("round %d: batch %d was reported, but an event of it is %v", round, n, o)
				}
			}
		}
		if err := errors.Join(s.DB.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
