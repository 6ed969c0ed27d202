package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"time"

	"highload.example/analytics/test/progress"
)

// load fills both databases, unless they are full, as users do: through the public API with the
// product's own command. Then it waits until the counts are folded, and has PostgreSQL do what its
// autovacuum would.
func (in *open) load(ctx context.Context, p *progress.Progress, loaded bool) error {
	for _, d := range in.deployments() {
		if err := d.start(ctx); err != nil {
			return err
		}
		if !loaded {
			if err := in.fill(ctx, p, d); err != nil {
				return fmt.Errorf("loading the %s database: %w", d.name, err)
			}
			// A server folds when it starts; this one began before there was anything.
			if err := errors.Join(d.stop(), d.start(ctx)); err != nil {
				return err
			}
		}
		if err := in.awaitFolded(ctx, p, d); err != nil {
			return fmt.Errorf("waiting for the counts of the %s database: %w", d.name, err)
		}
		if err := d.countsRight(ctx); err != nil {
			return err
		}
	}
	if loaded {
		return nil
	}
	return in.tidy(ctx)
}

// fill sends events, made by the program of load/data, with `analytics import`.
func (in *open) fill(ctx context.Context, p *progress.Progress, d *deployment) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // whichever program is left, when the other fails
	s := in.stand
	maker := exec.CommandContext(ctx, s.generator, "-count", strconv.Itoa(d.count), "-users", strconv.Itoa(s.stamp.Users), "-seed", strconv.FormatUint(s.stamp.Seed, 10), //nolint:gosec // our own
		"-end", time.Unix(s.stamp.End, 0).UTC().Format(time.RFC3339))
	sender := exec.CommandContext(ctx, s.analytics, "import", "-", "--batch", "5000", "--url", "http://"+d.address) //nolint:gosec // our own
	sender.Env = []string{"PATH=" + os.Getenv("PATH")}
	var makerSaid, senderSaid, result bytes.Buffer
	maker.Stderr, sender.Stderr, sender.Stdout = &makerSaid, &senderSaid, &result
	events, err := maker.StdoutPipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	to, err := sender.StdinPipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	if err := errors.Join(maker.Start(), sender.Start()); err != nil {
		return fmt.Errorf("starting the programs that make and send events: %w", err)
	}
	shown := p.Count(fmt.Sprintf("%s: loading %d events", in.store, d.count), int64(d.count))
	_, copyErr := io.Copy(&lineCounter{to: to, shown: shown}, events)
	if copyErr != nil {
		cancel() // the maker, which nobody reads from any more
	}
	err = errors.Join(copyErr, to.Close(), maker.Wait(), sender.Wait())
	if err != nil {
		return fmt.Errorf("%w\n%s\n%s", err, lastOf(makerSaid.Bytes()), lastOf(senderSaid.Bytes()))
	}
	if want := fmt.Sprintf("%d received, 0 there before, 0 rejected ", d.count); !bytes.HasPrefix(result.Bytes(), []byte(want)) {
		return fmt.Errorf("analytics import says %q, not %q", result.Bytes(), want)
	}
	shown.End()
	return nil
}

// lastOf is the end of what a program said.
func lastOf(text []byte) []byte { return bytes.TrimSpace(text[max(0, len(text)-1000):]) }

// lineCounter counts the lines that pass through.
type lineCounter struct {
	to    io.Writer
	shown *progress.Count
	lines int64
}

func (l *lineCounter) Write(text []byte) (int, error) {
	n, err := l.to.Write(text)
	l.lines += int64(bytes.Count(text[:n], []byte{'\n'}))
	l.shown.Set(l.lines)
	return n, err
}

// foldTimeout is for the months of minutes that ten million events fall into.
const foldTimeout = time.Hour

// awaitFolded waits until no minutes are left to be folded.
func (in *open) awaitFolded(ctx context.Context, p *progress.Progress, d *deployment) (err error) {
	hand, err := d.openHand(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hand.close()) }()
	var first int64
	var shown *progress.Count
	var next time.Time
	return await(ctx, foldTimeout, func() (bool, error) {
		if err := d.process.HasEnded(); err != nil {
			return false, err
		}
		began := time.Now()
		if began.Before(next) {
			return false, nil
		}
		var left int64
		err := hand.query(ctx, "SELECT count(*) FROM event_counts", nil, func(scan scanner) error { return scan(&left) })
		if err != nil {
			return false, err
		}
		next = time.Now().Add(5 * time.Since(began)) // counting what is left keeps nobody from folding it
		if shown == nil {
			first, shown = left, p.Count(in.store+": folding minutes", left)
		}
		shown.Set(first - left)
		if left == 0 && first > 0 {
			shown.End()
		}
		return left == 0, nil
	})
}

// countsRight checks that the product counts all that was sent.
func (d *deployment) countsRight(ctx context.Context) error {
	answer, err := d.ask(ctx, request{method: http.MethodGet, path: "/stats?limit=1000"})
	if err != nil {
		return err
	}
	var stats struct {
		Types []struct {
			Count int `json:"count"`
		} `json:"event_types"`
	}
	if err := json.Unmarshal(answer.body, &stats); err != nil {
		return fmt.Errorf("reading GET /stats: %w", err)
	}
	sum := 0
	for _, t := range stats.Types {
		sum += t.Count
	}
	if sum != d.count {
		return fmt.Errorf("GET /stats of the %s database counts %d events, not the %d that were sent", d.name, sum, d.count)
	}
	return nil
}

// tidy has PostgreSQL do now what it would do by and by, and write all of it out. SQLite has
// nothing to do: the product doesn't ANALYZE there, and its tables have one index each, so that
// there is nothing to choose.
func (in *open) tidy(ctx context.Context) error {
	if in.store == sqlite {
		return nil
	}
	for _, d := range in.deployments() {
		hand, err := d.openHand(ctx)
		if err != nil {
			return err
		}
		for _, statement := range []string{"VACUUM (ANALYZE)", "CHECKPOINT"} {
			err = errors.Join(err, hand.query(ctx, statement, nil, func(scanner) error { return nil }))
		}
		if err := errors.Join(err, hand.close()); err != nil {
			return err
		}
	}
	return nil
}
