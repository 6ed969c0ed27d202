package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"time"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/load/dataset"
	"highload.example/analytics/test/progress"
)

// load starts the product on both databases and fills them, unless they are full, as users do:
// through the public API with the product's own command. Then it waits until the counts are
// rolled up, and has PostgreSQL do what its autovacuum would.
func (dbs *databases) load(ctx context.Context, p *progress.Progress, loaded bool) error {
	for _, d := range dbs.deployments() {
		if err := d.product.Start(ctx); err != nil {
			return err
		}
		if !loaded {
			if err := dbs.fill(ctx, p, d); err != nil {
				return fmt.Errorf("loading the %s database: %w", d.name, err)
			}
			// A server rolls up when it starts; this one began before there was anything.
			if err := errors.Join(d.stop(ctx), d.product.Start(ctx)); err != nil {
				return err
			}
		}
		if err := dbs.awaitRollup(ctx, p, d); err != nil {
			return fmt.Errorf("waiting for the counts of the %s database: %w", d.name, err)
		}
		if err := d.checkCounts(ctx); err != nil {
			return err
		}
	}
	if loaded {
		return nil
	}
	return dbs.tidy(ctx)
}

// fill generates events and sends them with `analytics import`.
func (dbs *databases) fill(ctx context.Context, p *progress.Progress, d *deployment) error {
	w := dbs.workspace
	sender := exec.CommandContext(ctx, w.product.Path, "import", "-", "--batch", "5000", "--url", d.product.URL) //nolint:gosec // our own
	sender.Env = []string{"PATH=" + os.Getenv("PATH")}
	var logged, printed bytes.Buffer
	sender.Stderr, sender.Stdout = &logged, &printed
	events, err := sender.StdinPipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	if err := sender.Start(); err != nil {
		return fmt.Errorf("starting analytics import: %w", err)
	}
	shown := p.Count(fmt.Sprintf("%s: loading %d events", dbs.store, d.count), int64(d.count))
	config := dataset.Config{Count: d.count, Users: w.stamp.Users, Types: 50, Days: 90, Seed: w.stamp.Seed, End: time.Unix(w.stamp.End, 0)}
	const step = 1000
	err = config.Write(bufio.NewWriterSize(events, 1<<16), func(written int) {
		if written%step == 0 {
			shown.Set(int64(written))
		}
	})
	err = errors.Join(err, events.Close(), sender.Wait())
	if err != nil {
		return fmt.Errorf("%w\n%s", err, bytes.TrimSpace(logged.Bytes()[max(0, logged.Len()-1000):]))
	}
	if want := fmt.Sprintf("%d received, 0 there before, 0 rejected ", d.count); !bytes.HasPrefix(printed.Bytes(), []byte(want)) {
		return fmt.Errorf("analytics import says %q, not %q", printed.Bytes(), want)
	}
	shown.End()
	return nil
}

// rollupTimeout is for the months of minutes that ten million events fall into.
const rollupTimeout = time.Hour

// awaitRollup waits until the counts of all minutes are rolled up.
func (dbs *databases) awaitRollup(ctx context.Context, p *progress.Progress, d *deployment) (err error) {
	connection, err := d.openSession(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, connection.close()) }()
	var first int64
	var shown *progress.Count
	var next time.Time
	return harness.Poll(ctx, rollupTimeout, func(ctx context.Context) error {
		if err := d.product.Died(); err != nil {
			return harness.Permanent(err)
		}
		began := time.Now()
		if began.Before(next) {
			return errNotRolledUp
		}
		var left int64
		err := connection.query(ctx, "SELECT count(*) FROM event_counts", nil, func(scan scanner) error { return scan(&left) })
		if err != nil {
			return harness.Permanent(err)
		}
		next = time.Now().Add(5 * time.Since(began)) // counting what is left delays no rollup
		if shown == nil {
			first, shown = left, p.Count(dbs.store+": rolling up minutes", left)
		}
		shown.Set(first - left)
		if left > 0 {
			return errNotRolledUp
		}
		if first > 0 {
			shown.End()
		}
		return nil
	})
}

var errNotRolledUp = errors.New("some counts are not rolled up")

// checkCounts checks that the product counts all that was sent.
func (d *deployment) checkCounts(ctx context.Context) error {
	reply, err := d.query(ctx, request{method: http.MethodGet, path: "/stats?limit=1000"})
	if err != nil {
		return err
	}
	var stats struct {
		Types []struct {
			Count int `json:"count"`
		} `json:"event_types"`
	}
	if err := json.Unmarshal(reply.body, &stats); err != nil {
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
// nothing to do: the product doesn't ANALYZE there, and its tables have one index each: there
// is nothing to choose.
func (dbs *databases) tidy(ctx context.Context) error {
	if dbs.store == sqlite {
		return nil
	}
	for _, d := range dbs.deployments() {
		connection, err := d.openSession(ctx)
		if err != nil {
			return err
		}
		for _, statement := range []string{"VACUUM (ANALYZE)", "CHECKPOINT"} {
			err = errors.Join(err, connection.query(ctx, statement, nil, func(scanner) error { return nil }))
		}
		if err := errors.Join(err, connection.close()); err != nil {
			return err
		}
	}
	return nil
}
