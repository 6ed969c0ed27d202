package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"highload.example/analytics/test/load/generator"
	"highload.example/analytics/test/load/report"
	"highload.example/analytics/test/progress"
)

// experiment goes through the parts and collects what they find.
type experiment struct {
	options  *options
	servers  *servers
	document *report.Document
	progress *progress.Progress
	defects  []error // events lost, doubled, altered or never sent
	failures []error // subjects that couldn't be measured
}

// run goes through all parts. Subjects take turns within every round: a change on
// the machine meanwhile affects all of them.
func (x *experiment) run(ctx context.Context) error {
	subjects := x.servers.subjects()
	rounds := 1
	if x.options.has(report.PartSaturation) {
		rounds = x.options.Rounds
	}
	if x.options.has(report.PartSaturation) || x.options.has(report.PartRates) {
		for round := 1; round <= rounds; round++ {
			for _, s := range subjects {
				if err := x.turn(ctx, s, report.PartSaturation, round, x.saturate); err != nil {
					return err
				}
			}
		}
	}
	if x.options.has(report.PartBatches) {
		for round := 1; round <= x.options.Rounds; round++ {
			if err := x.pgxAlone(ctx, round); err != nil {
				return err
			}
			for _, s := range subjects {
				if s.mode != report.Replica {
					continue
				}
				if err := x.turn(ctx, s, report.PartBatches, round, x.sendBatches); err != nil {
					return err
				}
			}
		}
	}
	if x.options.has(report.PartRates) {
		for round := 1; round <= x.options.Rounds; round++ {
			for _, s := range subjects {
				if err := x.turn(ctx, s, report.PartRates, round, x.rates); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// steps is how many turns and rates there will be, for the progress.
func (x *experiment) steps() int {
	o := x.options
	subjects, replicas := 3+2*len(o.Compare), 1+len(o.Compare)
	n := 0
	switch {
	case o.has(report.PartSaturation):
		n += o.Rounds * subjects
	case o.has(report.PartRates):
		n += subjects
	}
	if o.has(report.PartBatches) {
		n += o.Rounds * (replicas + 1)
	}
	if o.has(report.PartRates) {
		n += o.Rounds * subjects * len(o.Fractions)
	}
	return n
}

// errNotThere means that a build doesn't have what a part measures.
var errNotThere = errors.New("not there")

// turn has a subject measured, checks whether it stored what it should, and ends it.
// A failure of another build doesn't end the experiment: it is reported.
func (x *experiment) turn(ctx context.Context, s subject, part string, round int, measure func(context.Context, *instance, int) error) (err error) {
	what := fmt.Sprintf("%s, round %d, %s", part, round, s.name())
	x.progress.Begin(what)
	i, err := x.servers.start(ctx, s)
	if err == nil {
		err = measure(ctx, i, round)
	}
	if err == nil {
		err = x.audit(ctx, i, part, round)
	}
	if i != nil {
		err = errors.Join(err, i.leave(ctx))
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errNotThere):
		x.notThere(s, part, err.Error())
		x.progress.Finish("%s: %v", what, err)
		return nil
	case s.label != "":
		x.notThere(s, part, "it failed: "+firstLine(err))
		x.failures = append(x.failures, fmt.Errorf("%s: %w", what, err))
		x.progress.Finish("%s: FAILED: %v", what, err)
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func firstLine(err error) string {
	for end, c := range err.Error() {
		if c == '\n' {
			return err.Error()[:end]
		}
	}
	return err.Error()
}

func (x *experiment) notThere(s subject, part, reason string) {
	n := report.NotThere{Subject: s.name(), Part: part, Reason: reason}
	for _, known := range x.document.NotThere {
		if known == n {
			return // in an earlier round
		}
	}
	x.document.NotThere = append(x.document.NotThere, n)
}

// audit checks what a subject stored and records the findings.
func (x *experiment) audit(ctx context.Context, i *instance, part string, round int) error {
	findings, err := i.audit(ctx)
	if err != nil || findings == nil {
		return err
	}
	x.record(i.name(), part, round, findings)
	return nil
}

func (x *experiment) record(subject, part string, round int, findings *generator.Findings) {
	defect := findings.Err()
	x.document.Audits = append(x.document.Audits, report.Audit{
		Subject: subject, Part: part, Round: round, Findings: *findings, Correct: defect == nil,
	})
	if defect != nil {
		defect = fmt.Errorf("%s, round %d, %s: of %d events accepted and %d rows stored: %w",
			part, round, subject, findings.Accepted, findings.StoredRows, defect)
		x.defects = append(x.defects, defect)
		x.progress.Note("WRONG: %v", defect)
	}
}

// phase turns what was measured into a figure of the report and prints it.
func (x *experiment) phase(subject string, round int, r *generator.Result, cost cpuTimes, m *instance) report.Phase {
	p := report.NewPhase(subject, round, r)
	per := func(spent float64, there bool) *float64 {
		if !there || r.Stored == 0 {
			return nil
		}
		v := spent / float64(r.Stored)
		return &v
	}
	p.CPU = report.CPU{
		Server:    per(micros(cost.server), m != nil),
		Postgres:  per(micros(cost.postgres), m == nil || m.mode == report.Replica),
		Redis:     per(micros(cost.redis), m != nil && m.mode == report.Replica),
		Generator: per(micros(cost.generator), true),
	}
	if r.Elapsed > 0 {
		p.OthersCPU = cost.others().Seconds() / (r.Elapsed.Seconds() * float64(runtime.NumCPU()))
	}
	return p
}
