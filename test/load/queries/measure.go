package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"highload.example/analytics/test/load/report"
	"highload.example/analytics/test/progress"
)

// experiment is a run of everything.
type experiment struct {
	options   *options
	progress  *progress.Progress
	workspace *workspace
	document  *document
	plans     []explanation
	results   map[string]result // by query, of the store before
	exported  *digest           // of the store before
}

// steps is how many there are in each store, for the progress.
const steps = 1 + 5 + 5 + 1

// measureStore measures one store.
func (x *experiment) measureStore(ctx context.Context, store string) (err error) {
	dbs, err := x.workspace.openStore(ctx, store)
	defer func() { err = errors.Join(err, dbs.close(ctx)) }()
	if err != nil {
		return err
	}
	if dbs.postgres != nil {
		x.document.Machine.Postgres, x.document.Machine.Redis = dbs.postgres.Version(), dbs.redis.Version()
	}
	loaded := slices.Contains(x.workspace.stamp.Loaded, store)
	if err := dbs.load(ctx, x.progress, loaded); err != nil {
		return err
	}
	if !loaded {
		x.workspace.stamp.Loaded = append(x.workspace.stamp.Loaded, store)
		if err := x.workspace.writeStamp(); err != nil {
			return err
		}
	}
	x.progress.Finish("%s: %d and %d events are there", store, dbs.large.count, dbs.small.count)
	if err := x.counts(ctx, dbs); err != nil {
		return err
	}
	if err := x.queries(ctx, dbs); err != nil {
		return err
	}
	return x.export(ctx, dbs)
}

// party is one of those that take turns.
type party struct {
	label string
	run   func(ctx context.Context) error
}

// takeTurns lets every party run so often in each round, the first being another each time, and
// returns the medians of each by round, in milliseconds. Each runs once before, unmeasured.
func takeTurns(ctx context.Context, parties []party, rounds, times int) ([][]float64, error) {
	one := func(p *party) (float64, error) {
		began := time.Now()
		if err := p.run(ctx); err != nil {
			return 0, fmt.Errorf("%s: %w", p.label, err)
		}
		return float64(time.Since(began)) / float64(time.Millisecond), nil
	}
	for i := range parties {
		if _, err := one(&parties[i]); err != nil {
			return nil, err
		}
	}
	medians := make([][]float64, len(parties))
	for round := range rounds {
		took := make([][]float64, len(parties))
		for turn := range times {
			for i := range parties {
				at := (round + turn + i) % len(parties)
				ms, err := one(&parties[at])
				if err != nil {
					return nil, err
				}
				took[at] = append(took[at], ms)
			}
		}
		for i := range parties {
			medians[i] = append(medians[i], report.Median(took[i]))
		}
	}
	return medians, nil
}

// counts measures counts over many events next to counts over few.
func (x *experiment) counts(ctx context.Context, dbs *databases) error {
	all, err := countQueries(x.workspace.stamp.End)
	if err != nil {
		return err
	}
	for i := range all {
		c := &all[i]
		var parties []party
		for _, d := range dbs.deployments() {
			parties = append(parties, party{d.name, func(ctx context.Context) error {
				reply, err := d.query(ctx, c.request)
				if err == nil && reply.plan != c.plan {
					err = fmt.Errorf("%s was read from %s, not from %s", c.path, reply.plan, c.plan)
				}
				return err
			}})
		}
		medians, err := takeTurns(ctx, parties, x.options.Rounds, x.options.CountAsks)
		if err != nil {
			return err
		}
		f := figure{
			Name: c.name + ", large / small", Store: dbs.store, Below: true,
			Parties: []measured{{Label: large, Rounds: medians[0]}, {Label: small, Rounds: medians[1]}},
		}
		if c.goal {
			f.Goal = bound(1.3)
		}
		f.ratio(medians[0], medians[1])
		x.found(&f)
		if dbs.postgres != nil {
			err := x.explain(ctx, dbs, c.name+" (the product)", c.plan != "totals", parties[0].run)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// found notes the figure of a step, and more that came of it.
func (x *experiment) found(f *figure, more ...*figure) {
	note := func(f *figure) string {
		if x.document.Meaningful {
			f.judge()
		}
		x.document.Figures = append(x.document.Figures, *f)
		return fmt.Sprintf("%s: %s: %s", f.Store, f.Name, f.text())
	}
	x.progress.Finish("%s", note(f))
	for _, f := range more {
		x.progress.Note("%s", note(f))
	}
}

// queries compares the results of queries, and what they cost.
func (x *experiment) queries(ctx context.Context, dbs *databases) (err error) {
	s, err := dbs.large.openSession(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	results := map[string]result{}
	all := queries(dbs.store, x.workspace.stamp.End)
	for i := range all {
		q := &all[i]
		if results[q.name], err = x.compare(ctx, dbs, s, q); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		if before := x.results[q.name]; before != nil {
			if err := results[q.name].differs(before); err != nil {
				return fmt.Errorf("THE STORES DIFFER: %s: %w", q.name, err)
			}
			x.document.Compared++
		}
		if q.compared {
			x.progress.Finish("%s: %s: %d statements give the same result", dbs.store, q.name, len(q.statements))
			continue
		}
		if err := x.weigh(ctx, dbs, s, q); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
	}
	x.results = results
	return nil
}

// compare runs a query and every hand-written statement, and fails when results differ.
func (x *experiment) compare(ctx context.Context, dbs *databases, s session, q *query) (result, error) {
	reply, err := dbs.large.query(ctx, q.request)
	if err != nil {
		return nil, err
	}
	ours, err := q.read(reply.body)
	if err != nil {
		return nil, err
	}
	if ours.empty() {
		return nil, errors.New("there is nothing to count: take more events (--count)")
	}
	for i := range q.statements {
		b := &q.statements[i]
		theirs, err := b.execute(ctx, s)
		if err != nil {
			return nil, err
		}
		want := ours
		if b.loose {
			if want, err = ours.loosened(); err != nil {
				return nil, err
			}
		}
		if err := want.differs(theirs); err != nil {
			return nil, fmt.Errorf("THE RESULTS DIFFER from hand-written SQL (%s: %s): %w", b.name, b.sql, err)
		}
		x.document.Compared++
	}
	return ours, nil
}

// weigh measures a query next to every hand-written statement. The quickest counts.
func (x *experiment) weigh(ctx context.Context, dbs *databases, s session, q *query) error {
	parties := []party{{"the product", func(ctx context.Context) error {
		_, err := dbs.large.query(ctx, q.request)
		return err
	}}}
	for i := range q.statements {
		b := &q.statements[i]
		parties = append(parties, party{b.name, func(ctx context.Context) error {
			_, err := b.execute(ctx, s)
			return err
		}})
	}
	medians, err := takeTurns(ctx, parties, x.options.Rounds, x.options.QueryAsks)
	if err != nil {
		return err
	}
	f := figure{
		Name: q.name + " / hand-written", Store: dbs.store, Below: true, Goal: bound(1.2),
		Parties: []measured{{Label: parties[0].label, Rounds: medians[0]}},
	}
	for i := range q.statements {
		b := &q.statements[i]
		f.Parties = append(f.Parties, measured{Label: b.name, Loose: b.loose, SQL: b.sql, Rounds: medians[i+1]})
	}
	best := f.best(false)
	f.ratio(medians[0], f.Parties[best].Rounds)
	f.Against = f.Parties[best].Label
	var more []*figure
	if looser := f.best(true); looser > 0 {
		loose := &figure{Name: q.name + " / hand-written with `->>`, where `1` is `\"1\"`", Store: dbs.store, Below: true, Against: f.Parties[looser].Label}
		loose.ratio(medians[0], medians[looser])
		more = append(more, loose)
	}
	x.found(&f, more...)
	if dbs.postgres == nil {
		return nil
	}
	return errors.Join(
		x.explain(ctx, dbs, q.name+" (the product)", true, parties[0].run),
		x.explain(ctx, dbs, q.name+" (hand-written: "+f.Against+")", true, parties[best].run))
}
