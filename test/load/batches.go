package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"highload.example/analytics/gen/pgdb"
	"highload.example/analytics/impl/backend/postgres"
	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/load/generator"
	"highload.example/analytics/test/load/report"
)

// sendBatches sends batches as fast as the server takes them.
func (x *experiment) sendBatches(ctx context.Context, i *instance, round int) error {
	status, err := probeBatches(ctx, i.product.URL)
	if err != nil {
		return err
	}
	if status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
		return fmt.Errorf("%w: POST /events answers %d", errNotThere, status)
	}
	result, cost, err := i.send(ctx, &generator.Load{
		Connections: x.options.BatchConnections, Batch: x.options.Batch, WarmUp: x.options.WarmUp, Duration: x.options.Duration,
	})
	if err != nil {
		return err
	}
	p := x.phase(i.name(), round, &result, cost, i)
	x.document.Batches = append(x.document.Batches, p)
	x.progress.Finish("batches, round %d, %s: %s", round, i.name(), summary(&p))
	if result.Stored == 0 {
		return errors.New("no batch at all was accepted")
	}
	return nil
}

// probeBatches sends an empty batch, which is never stored.
func probeBatches(ctx context.Context, url string) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/events", strings.NewReader("[]"))
	if err != nil {
		return 0, fmt.Errorf("probing POST /events: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("probing POST /events: %w", err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, errors.Join(err, response.Body.Close())
}

// pgxAlone measures the least that storing batches can cost: the product's own
// statement on the product's own tables, in a loop, without HTTP, JSON, checks,
// queues and Redis. It runs in this program.
func (x *experiment) pgxAlone(ctx context.Context, round int) (err error) {
	what := fmt.Sprintf("batches, round %d, %s", round, report.PgxAlone)
	x.progress.Begin(what)
	run, source, ledger, err := x.servers.newRun()
	if err != nil {
		return err
	}
	if err := x.servers.resume(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.servers.pause()) }()
	database, err := x.servers.makeDatabase(ctx, run)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.servers.dropDatabase(ctx, run)) }()
	if err := postgres.Migrate(ctx, database, slog.New(slog.DiscardHandler)); err != nil {
		return fmt.Errorf("making the tables: %w", err)
	}
	if err := makePartitions(ctx, database, time.Now().Add(-x.options.Spread), time.Now()); err != nil {
		return err
	}
	m := &meter{}
	if m.postgres, err = x.servers.postgres.PID(); err != nil {
		return err
	}
	result, err := x.insertAlone(ctx, database, source, ledger, m)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	p := x.phase(report.PgxAlone, round, result, m.spent(), nil)
	x.document.Batches = append(x.document.Batches, p)

	a := generator.NewAudit(source, ledger)
	if err := readPostgres(ctx, database, a); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	counted, err := sumTotals(ctx, database)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	findings := a.Finish(counted)
	x.record(report.PgxAlone, report.PartBatches, round, &findings)
	x.progress.Finish("%s: %s", what, summary(&p))
	return nil
}

// makePartitions makes the partitions that events from one time to another need.
func makePartitions(ctx context.Context, url string, from, to time.Time) (err error) {
	conn, err := harness.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	queries := pgdb.New(conn)
	from, to = from.UTC(), to.UTC()
	for month := time.Date(from.Year(), from.Month(), 1, 0, 0, 0, 0, time.UTC); !month.After(to); month = month.AddDate(0, 1, 0) {
		if err := queries.EnsureEventsPartition(ctx, pgtype.Timestamptz{Time: month, Valid: true}); err != nil {
			return fmt.Errorf("making a partition: %w", err)
		}
	}
	return nil
}

// sumTotals is what GET /stats of every type would sum up to.
func sumTotals(ctx context.Context, url string) (sum int64, err error) {
	conn, err := harness.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if err := conn.QueryRow(ctx, "SELECT coalesce(sum(count), 0)::bigint FROM event_totals").Scan(&sum); err != nil {
		return 0, fmt.Errorf("summing the totals: %w", err)
	}
	return sum, nil
}

// insertAlone inserts batches on every connection until the time is over.
func (x *experiment) insertAlone(ctx context.Context, url string, source *generator.Source, ledger *generator.Ledger, m *meter) (*generator.Result, error) {
	tally := generator.NewTally()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	begin := time.Now()
	from := begin.Add(x.options.WarmUp)
	to := from.Add(x.options.Duration)
	for slot := range x.options.Writers {
		group.Go(func() {
			if err := x.insertLoop(ctx, url, int32(slot), source, ledger, func(sent, done time.Time) bool {
				if !done.Before(from) && !done.After(to) {
					tally.Add(x.options.Batch, done.Sub(sent))
				}
				return done.Before(to)
			}); err != nil {
				cancel(err)
			}
		})
	}
	var errs [2]error
	for i, step := range []struct {
		at time.Time
		do func() error
	}{{from, m.begin}, {to, m.end}} {
		timer := time.NewTimer(time.Until(step.at))
		select {
		case <-timer.C:
			errs[i] = step.do()
		case <-ctx.Done():
		}
		timer.Stop()
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	result := tally.Result(to.Sub(from))
	return &result, errors.Join(errs[:]...)
}

// insertLoop inserts batches on one connection, with a slot of its own, until done
// says that it is enough.
func (x *experiment) insertLoop(
	ctx context.Context, url string, slot int32, source *generator.Source, ledger *generator.Ledger, more func(sent, done time.Time) bool,
) (err error) {
	conn, err := harness.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	queries := pgdb.New(conn)
	var b insertion
	for {
		first := ledger.Take(x.options.Batch)
		sent := time.Now()
		b.fill(source, first, x.options.Batch)
		b.params.Slot = slot
		if _, err := queries.InsertEvents(ctx, b.params); err != nil {
			return fmt.Errorf("inserting: %w", err)
		}
		for n := range uint64(x.options.Batch) {
			ledger.Set(first+n, generator.Accepted)
		}
		if !more(sent, time.Now()) {
			return nil
		}
	}
}

// insertion is a batch as the statement wants it; it keeps its arrays.
type insertion struct {
	events []generator.Event
	params pgdb.InsertEventsParams
}

// fill takes count events, in the order of their keys, as the product's writer
// hands them over.
func (b *insertion) fill(source *generator.Source, first uint64, count int) {
	b.events = b.events[:0]
	for n := range uint64(count) {
		b.events = append(b.events, source.Event(first+n))
	}
	slices.SortFunc(b.events, func(a, c generator.Event) int {
		return cmp.Or(cmp.Compare(a.UserID, c.UserID), cmp.Compare(a.OccurredAt, c.OccurredAt), bytes.Compare(a.ID[:], c.ID[:]))
	})
	p := &b.params
	p.UserIds, p.OccurredAt, p.EventIds, p.EventTypes = p.UserIds[:0], p.OccurredAt[:0], p.EventIds[:0], p.EventTypes[:0]
	p.Payloads = slices.Grow(p.Payloads[:0], count)[:count]
	for i := range b.events {
		e := &b.events[i]
		p.UserIds = append(p.UserIds, e.UserID)
		p.OccurredAt = append(p.OccurredAt, pgtype.Timestamptz{Time: time.Unix(e.OccurredAt, 0).UTC(), Valid: true})
		p.EventIds = append(p.EventIds, pgtype.UUID{Bytes: e.ID, Valid: true})
		p.EventTypes = append(p.EventTypes, e.Type)
		p.Payloads[i] = e.AppendPayload(p.Payloads[i][:0])
	}
}
