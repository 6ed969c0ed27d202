package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"highload.example/analytics/internal/harness"
)

// logPrefix marks each entry of PostgreSQL's log with its database.
const logPrefix = "@%d@ "

// explanation is what PostgreSQL said of the statements of a query.
type explanation struct {
	title string
	plans []string
}

// explain runs something while PostgreSQL logs the plan of every statement, with what it really
// did. It is measured before and not meanwhile: that takes its own time. Where a plan is needed, it
// runs until there is one.
func (x *experiment) explain(ctx context.Context, dbs *databases, title string, needed bool, run func(context.Context) error) (err error) {
	from, err := os.Stat(dbs.postgres.Log())
	if err != nil {
		return fmt.Errorf("PostgreSQL's log: %w", err)
	}
	if err := dbs.explaining(ctx, true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dbs.explaining(ctx, false)) }()
	var plans []string
	// Sessions are told one after the other: one may learn of it only when it has its result.
	// The time ends the wait for a plan, not a statement that takes long.
	err = harness.Poll(ctx, harness.StartTimeout, func(context.Context) error {
		if err := run(ctx); err != nil {
			return harness.Permanent(err)
		}
		log, err := readFrom(dbs.postgres.Log(), from.Size())
		if err != nil {
			return harness.Permanent(err)
		}
		plans = append(plansIn(log, large), plansIn(log, small)...)
		if len(plans) == 0 && needed {
			return errors.New("there is none in the log")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("PostgreSQL's plan for %s: %w", title, err)
	}
	x.plans = append(x.plans, explanation{title, plans})
	return nil
}

// explaining turns it on or off, for sessions that are open, too, and waits until the server has
// taken notice.
func (dbs *databases) explaining(ctx context.Context, on bool) (err error) {
	s, err := openPostgresSession(ctx, dbs.postgres.URL())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	none := func(scanner) error { return nil }
	want := "-1"
	if on {
		want = "0"
	}
	for _, statement := range []string{
		"ALTER SYSTEM SET auto_explain.log_analyze = on", "ALTER SYSTEM SET auto_explain.log_buffers = on",
		"ALTER SYSTEM SET auto_explain.log_min_duration = " + want, "SELECT pg_reload_conf()",
	} {
		if err := s.query(ctx, statement, nil, none); err != nil {
			return err
		}
	}
	// A session reads settings again between two statements: when this one has, the postmaster has
	// told all others, too.
	return harness.Poll(ctx, harness.StartTimeout, func(ctx context.Context) error {
		var is string
		if err := s.query(ctx, "SELECT setting FROM pg_settings WHERE name = 'auto_explain.log_min_duration'", nil, func(row scanner) error { return row(&is) }); err != nil {
			return harness.Permanent(err)
		}
		if is != want {
			return errors.New("PostgreSQL has not read its settings again")
		}
		return nil
	})
}

func readFrom(file string, offset int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

// plansIn returns the plans of a database's statements that a log has, but for those of
// maintenance. The further lines of an entry begin with a tab.
func plansIn(log []byte, database string) []string {
	var plans []string
	var entry *strings.Builder
	end := func() {
		if entry == nil {
			return
		}
		if text := entry.String(); !strings.Contains(text, "-- name: TakeMinutes") && !strings.Contains(text, "-- name: TryFolding") {
			plans = append(plans, text)
		}
		entry = nil
	}
	prefix := []byte(strings.ReplaceAll(logPrefix, "%d", database) + "LOG:  ")
	for line := range bytes.Lines(log) {
		if further, is := bytes.CutPrefix(line, []byte("\t")); is {
			if entry != nil {
				entry.Write(further)
			}
			continue
		}
		end()
		if text, is := bytes.CutPrefix(line, prefix); is && bytes.HasSuffix(bytes.TrimSpace(text), []byte("plan:")) {
			entry = &strings.Builder{}
			entry.Write(text)
		}
	}
	end()
	return plans
}

// explained writes plans for people.
func explained(all []explanation) string {
	var b strings.Builder
	for _, e := range all {
		fmt.Fprintf(&b, "### %s\n\n", e.title)
		if len(e.plans) == 0 {
			b.WriteString("No statement: the result came from Redis.\n\n")
		}
		for _, plan := range e.plans {
			b.WriteString(plan)
			b.WriteString("\n")
		}
	}
	return b.String()
}
