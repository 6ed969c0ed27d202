package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"highload.example/analytics/test/progress"
)

// experiment is a run of everything.
type experiment struct {
	options  *options
	progress *progress.Progress
	stand    *stand
	document *document
	plans    []explanation
	answers  map[string]answer // by question, of the store before
	exported *digest           // of the store before
}

// steps is how many there are in each store, for the progress.
const steps = 1 + 5 + 5 + 1

// measureStore measures one store.
func (x *experiment) measureStore(ctx context.Context, store string) (err error) {
	in, err := x.stand.openStore(ctx, store)
	defer func() { err = errors.Join(err, in.close()) }()
	if err != nil {
		return err
	}
	if in.postgres != nil {
		x.document.Machine.Postgres, x.document.Machine.Redis = in.postgres.Version(), in.redis.Version()
	}
	loaded := slices.Contains(x.stand.stamp.Loaded, store)
	if err := in.load(ctx, x.progress, loaded); err != nil {
		return err
	}
	if !loaded {
		x.stand.stamp.Loaded = append(x.stand.stamp.Loaded, store)
		if err := x.stand.writeStamp(); err != nil {
			return err
		}
	}
	x.progress.Finish("%s: %d and %d events are there", store, in.large.count, in.small.count)
	if err := x.counts(ctx, in); err != nil {
		return err
	}
	if err := x.questions(ctx, in); err != nil {
		return err
	}
	return x.export(ctx, in)
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
			medians[i] = append(medians[i], median(took[i]))
		}
	}
	return medians, nil
}

// counts measures counts over many events next to counts over few.
func (x *experiment) counts(ctx context.Context, in *open) error {
	all, err := countings(x.stand.stamp.End)
	if err != nil {
		return err
	}
	for i := range all {
		c := &all[i]
		var parties []party
		for _, d := range in.deployments() {
			parties = append(parties, party{d.name, func(ctx context.Context) error {
				answer, err := d.ask(ctx, c.request)
				if err == nil && answer.plan != c.plan {
					err = fmt.Errorf("%s was answered from %s, not from %s", c.path, answer.plan, c.plan)
				}
				return err
			}})
		}
		medians, err := takeTurns(ctx, parties, x.options.rounds, x.options.countAsks)
		if err != nil {
			return err
		}
		f := figure{
			Name: c.name + ", large / small", Store: in.store, Below: true,
			Parties: []measured{{Label: large, Rounds: medians[0]}, {Label: small, Rounds: medians[1]}},
		}
		if c.goal {
			f.Goal = bound(1.3)
		}
		f.ratio(medians[0], medians[1])
		x.found(&f)
		if in.postgres != nil {
			err := x.explain(ctx, in, c.name+" (the product)", c.plan != "totals", parties[0].run)
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

// questions compares the answers to questions, and what they cost.
func (x *experiment) questions(ctx context.Context, in *open) (err error) {
	h, err := in.large.openHand(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	answers := map[string]answer{}
	all := questions(in.store, x.stand.stamp.End)
	for i := range all {
		q := &all[i]
		if answers[q.name], err = x.compare(ctx, in, h, q); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		if before := x.answers[q.name]; before != nil {
			if err := answers[q.name].differs(before); err != nil {
				return fmt.Errorf("THE STORES DIFFER: %s: %w", q.name, err)
			}
			x.document.Compared++
		}
		if q.compared {
			x.progress.Finish("%s: %s: %d statements give the same answer", in.store, q.name, len(q.byHand))
			continue
		}
		if err := x.weigh(ctx, in, h, q); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
	}
	x.answers = answers
	return nil
}

// compare asks everybody the same, and fails when somebody answers otherwise.
func (x *experiment) compare(ctx context.Context, in *open, h hand, q *question) (answer, error) {
	reply, err := in.large.ask(ctx, q.request)
	if err != nil {
		return nil, err
	}
	ours, err := q.read(reply.body)
	if err != nil {
		return nil, err
	}
	if ours.empty() {
		return nil, errors.New("there is nothing to count: take more events (-count)")
	}
	for i := range q.byHand {
		b := &q.byHand[i]
		theirs, err := b.ask(ctx, h)
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
			return nil, fmt.Errorf("THE ANSWERS DIFFER from SQL by hand (%s: %s): %w", b.name, b.sql, err)
		}
		x.document.Compared++
	}
	return ours, nil
}

// weigh measures a question next to every statement by hand. The quickest counts.
func (x *experiment) weigh(ctx context.Context, in *open, h hand, q *question) error {
	parties := []party{{"the product", func(ctx context.Context) error {
		_, err := in.large.ask(ctx, q.request)
		return err
	}}}
	for i := range q.byHand {
		b := &q.byHand[i]
		parties = append(parties, party{b.name, func(ctx context.Context) error {
			_, err := b.ask(ctx, h)
			return err
		}})
	}
	medians, err := takeTurns(ctx, parties, x.options.rounds, x.options.questionAsks)
	if err != nil {
		return err
	}
	f := figure{
		Name: q.name + " / by hand", Store: in.store, Below: true, Goal: bound(1.2),
		Parties: []measured{{Label: parties[0].label, Rounds: medians[0]}},
	}
	for i := range q.byHand {
		b := &q.byHand[i]
		f.Parties = append(f.Parties, measured{Label: b.name, Loose: b.loose, SQL: b.sql, Rounds: medians[i+1]})
	}
	best := f.best(false)
	f.ratio(medians[0], f.Parties[best].Rounds)
	f.Against = f.Parties[best].Label
	var more []*figure
	if looser := f.best(true); looser > 0 {
		loose := &figure{Name: q.name + " / by hand with `->>`, where `1` is `\"1\"`", Store: in.store, Below: true, Against: f.Parties[looser].Label}
		loose.ratio(medians[0], medians[looser])
		more = append(more, loose)
	}
	x.found(&f, more...)
	if in.postgres == nil {
		return nil
	}
	return errors.Join(
		x.explain(ctx, in, q.name+" (the product)", true, parties[0].run),
		x.explain(ctx, in, q.name+" (by hand: "+f.Against+")", true, parties[best].run))
}
