package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/fleet"
	"highload.example/analytics/test/torture/check"
	"highload.example/analytics/test/torture/history"
	"highload.example/analytics/test/torture/nemesis"
	"highload.example/analytics/test/torture/soak"
	"highload.example/analytics/test/torture/workload"
)

// The traffic.
const (
	senders = 12
	readers = 4
)

// recoveryBound is QUALITY's: service is back within 5 s of the database's return.
const recoveryBound = 5 * time.Second

// The times that the end of a run may take.
const (
	settleTimeout = 90 * time.Second
	restTimeout   = 30 * time.Second
)

// previewed is how many steps are printed ahead.
const previewed = 200

// fire runs the modes fleet and embedded.
func fire(ctx context.Context, o *options, output io.Writer) (err error) {
	p := newProgress(output, o.duration)
	defer p.end()
	faults, err := nemesis.Select(nemesis.Faults(o.mode == modeEmbedded, o.smallDisks), o.faults)
	if err != nil {
		return fmt.Errorf("-faults: %w", err)
	}
	if err := os.MkdirAll(o.out, 0o750); err != nil { //nolint:gosec // -out is where the operator wants it
		return fmt.Errorf("-out: %w", err)
	}
	replicas := 3
	if o.mode == modeEmbedded {
		replicas = 1
	}
	schedule := nemesis.Describe(o.seed, faults, replicas, previewed)
	if err := os.WriteFile(filepath.Join(o.out, "schedule.txt"), []byte(schedule), 0o600); err != nil { //nolint:gosec // the same
		return fmt.Errorf("-out: %w", err)
	}
	p.note("seed %d: %d faults in rounds, each once; the first steps, of %s:\n%s", o.seed, len(faults), filepath.Join(o.out, "schedule.txt"), firstLines(schedule, 12))
	if !o.smallDisks {
		p.note("NOT DONE: disks aren't filled: it takes root to mount small ones")
	}

	r := &report{Mode: o.mode, Seed: o.seed, Duration: o.duration, Started: time.Now().UTC().Truncate(time.Second), Faults: map[string]int{}, DisksNotFilled: !o.smallDisks}
	p.note("building the product with failpoints, and starting everything")
	s, err := fleet.Open(ctx, fleet.Config{
		Root: o.root, Logs: filepath.Join(o.out, "logs"), Program: harness.Program{Path: o.binary}, Embedded: o.mode == modeEmbedded, SmallDisks: o.smallDisks, Stores: o.mode != modeEmbedded, Duration: o.duration,
	})
	closed := false
	defer func() {
		if !closed {
			err = errors.Join(err, s.Close(ctx))
		}
	}()
	if err != nil {
		return err
	}
	historyFile := filepath.Join(o.out, "history.ndjson")
	recorder, err := history.Create(historyFile)
	if err != nil {
		return err
	}
	f := &fireRun{options: o, progress: p, fleet: s, recorder: recorder, report: r}
	stopSoak := func() []soak.Sample { return nil }
	if o.mode == modeSoak {
		if o.rate, err = f.soakRate(ctx); err != nil {
			return err
		}
		stopSoak = f.soak(ctx)
	}
	in, err := f.run(ctx, faults)
	samples := stopSoak()
	if err := errors.Join(err, recorder.Close()); err != nil {
		return err
	}
	if o.mode == modeSoak {
		if err := f.drawSoak(samples, historyFile); err != nil {
			return err
		}
	}

	p.note("checking every promise against the history")
	in.History = f.withPanics(history.Open(historyFile))
	in.Rows = s.Rows(ctx)
	if r.Check, err = check.Run(in); err != nil {
		return err
	}
	f.judgePanics()
	closed = true
	if err := s.Close(ctx); err != nil {
		r.problem("stopping: %v", err)
	}
	r.Seconds = time.Since(r.Started).Seconds()
	p.end()
	return r.write(o.out, output)
}

// fireRun is a run of the modes fleet and embedded.
type fireRun struct {
	options  *options
	progress *progress
	fleet    *fleet.Fleet
	recorder *history.Recorder
	report   *report

	panics []check.Window // when requests were made to panic
	failed int            // requests that were answered 500 then
}

// run makes traffic, breaks things, and waits for rest. It returns what is to be
// checked.
func (f *fireRun) run(ctx context.Context, faults []*nemesis.Fault) (check.Input, error) {
	o, s, r := f.options, f.fleet, f.report
	clients, err := workload.New(workload.Config{
		Targets: append([]string(nil), s.Targets...), Recorder: f.recorder, Seed: o.seed, Senders: senders, Readers: readers, Rate: o.rate,
	})
	if err != nil {
		return check.Input{}, err
	}
	defer clients.Close()

	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	watched := f.watchRedis(watching)

	// 1. What processes hold that have worked and rest.
	warm, cancel := context.WithTimeout(ctx, warmUp)
	clients.Run(warm)
	cancel()
	clients.Close()
	if r.Before, err = f.resting(ctx, nil); err != nil {
		return check.Input{}, err
	}

	// 2. Traffic and faults.
	traffic, stopTraffic := context.WithCancel(ctx)
	quiet := make(chan struct{})
	go func() { defer close(quiet); clients.Run(traffic) }()
	under, cancel := context.WithTimeout(ctx, o.duration)
	began := time.Now()
	steps, broken := nemesis.Run(under, nemesis.Config{
		Stand: s, Faults: faults, Seed: o.seed, Recorder: f.recorder, EventType: clients.Types()[0], Bound: recoveryBound,
		OnStep: func(step nemesis.Result) {
			f.progress.at(time.Since(began))
			late := ""
			if step.Late {
				late = "  TOO LATE"
			}
			f.progress.note("step %d: %s; first success after %s, everywhere after %s%s", step.Number, step.Step, step.First.Round(time.Millisecond), step.All.Round(time.Millisecond), late)
		},
	})
	cancel()
	stopTraffic()
	<-quiet
	stopWatching()
	slow := <-watched
	r.SlowRedis = len(slow)
	r.add(steps)
	f.panics = nemesis.Panics(steps)
	if err := errors.Join(broken, ctx.Err()); err != nil {
		return check.Input{}, err
	}

	// 3. Everything is healed: who had no clear answer sends again, until there is one.
	f.progress.note("healed after %d steps: sending again what got no clear answer", len(steps))
	trouble := append(nemesis.RedisTrouble(steps), slow...)
	in := check.Input{RedisTrouble: append(trouble, nemesis.BothInTrouble(steps, trouble)...), Settling: f.recorder.Now()}
	settling, cancel := context.WithTimeout(ctx, settleTimeout)
	clients.Settle(settling)
	cancel()

	// 4. What is counted, everywhere.
	f.progress.note("at rest: asking everyone for every count")
	if in.AtRest, err = f.counts(ctx, clients); err != nil {
		return in, err
	}

	// 5. What is still held.
	f.progress.note("%d questions were asked: looking at what the processes hold", len(in.AtRest))
	clients.Close()
	if r.Connections, err = s.Connections(ctx); err != nil {
		r.problem("at rest: %v", err)
	}
	if r.After, err = f.resting(ctx, r.Before); err != nil {
		r.problem("%v", err)
	}
	return in, s.Died()
}

// warmUp is long enough for pools to be filled.
const warmUp = 5 * time.Second

// counts asks everyone who counts, once what Redis is said to lack has had time to get
// there. Whether it is right is for the checker to say.
func (f *fireRun) counts(ctx context.Context, clients *workload.Clients) ([]history.Operation, error) {
	stored := map[string]int64{}
	for row, err := range f.fleet.Rows(ctx) {
		if err != nil {
			return nil, err
		}
		stored[row.Type]++
	}
	// 1. Until all agree, or have had their time.
	types := clients.Types()
	deadline := time.Now().Add(restTimeout)
	for differing := errors.New("not asked yet"); differing != nil && ctx.Err() == nil; {
		if differing = f.differing(ctx, types, stored); time.Now().After(deadline) {
			f.progress.note("counts still differ: %v", differing)
			break
		}
	}
	// 2. Everything that can be asked.
	all, err := f.fleet.Counts(ctx, types)
	if err != nil {
		return nil, err
	}
	answers := make([][]history.Operation, len(f.fleet.Targets))
	var wg sync.WaitGroup
	for i, target := range f.fleet.Targets {
		wg.Go(func() { answers[i] = clients.Survey(ctx, target) })
	}
	wg.Wait()
	return append(all, slices.Concat(answers...)...), ctx.Err()
}

// watchEvery is how often replicas are asked whether Redis failed them. A window of
// trouble is wider on both sides.
const watchEvery = 250 * time.Millisecond

// watchRedis returns, at the end, when some replica found that Redis didn't answer in
// time, whether the adversary was behind that or the machine was too busy: to the product
// it's the same.
func (f *fireRun) watchRedis(ctx context.Context) <-chan []check.Window {
	done := make(chan []check.Window, 1)
	if f.fleet.Redis == nil {
		done <- nil
		return done
	}
	const failures = "analytics_live_counts_failures_total"
	go func() {
		var windows []check.Window
		seen := map[string]float64{}
		asked := f.recorder.Now()
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		for ctx.Err() == nil {
			from := asked
			asked = f.recorder.Now()
			for _, r := range f.fleet.Replicas {
				metrics, err := r.Target().Metrics(ctx)
				if err != nil {
					continue // it is down, or slow: the next answer tells
				}
				if n := metrics.Sum(failures); n != seen[r.Name] {
					seen[r.Name] = n
					windows = append(windows, check.Window{From: from - time.Second.Nanoseconds(), To: f.recorder.Now() + time.Second.Nanoseconds()})
				}
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
		done <- windows
	}()
	return done
}

// differing says who counts something else than is stored.
func (f *fireRun) differing(ctx context.Context, types []string, stored map[string]int64) error {
	inRedis, err := f.fleet.Counts(ctx, types)
	if err != nil {
		return err
	}
	for _, o := range inRedis {
		if o.Counts[0] != stored[o.EventType] {
			return fmt.Errorf("in Redis there are %d of %s, and %d are stored", o.Counts[0], o.EventType, stored[o.EventType])
		}
	}
	for _, target := range f.fleet.Targets {
		for _, t := range types {
			n, err := fleet.Count(ctx, target, t)
			if err == nil && n != stored[t] {
				err = fmt.Errorf("%s counts %d of %s, and %d are stored", target, n, t, stored[t])
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// The slack that processes at rest are given.
const (
	moreGoroutines  = 12
	moreDescriptors = 12
	moreMemory      = 96 << 20
)

// resting reads what every process holds. Given what it held before, it waits until it
// holds about as much again; else until it holds the same twice.
func (f *fireRun) resting(ctx context.Context, before map[string]harness.ProcessStats) (map[string]harness.ProcessStats, error) {
	deadline := time.NewTimer(restTimeout)
	defer deadline.Stop()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var last map[string]harness.ProcessStats
	for {
		now := map[string]harness.ProcessStats{}
		for _, r := range f.fleet.Replicas {
			reading, err := r.Target().Stats(ctx)
			if err != nil {
				return nil, err
			}
			now[r.Name] = reading
		}
		leaks := compare(before, now)
		if before == nil {
			leaks = compare(last, now)
		}
		if leaks == nil && last != nil {
			return now, nil
		}
		last = now
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-deadline.C:
			return now, fmt.Errorf("at rest, more is held than before: %w%s", leaks, f.stacks(ctx, leaks))
		}
	}
}

// stacks says what the goroutines do, for whoever has to find out.
func (f *fireRun) stacks(ctx context.Context, leaks error) string {
	if leaks == nil {
		return ""
	}
	file := filepath.Join(f.options.out, "goroutines.txt")
	var text []byte
	for _, r := range f.fleet.Replicas {
		stacks, err := r.Goroutines(ctx)
		if err != nil {
			stacks = err.Error()
		}
		text = fmt.Appendf(text, "%s\n%s\n", r.Name, stacks)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return "; " + err.Error()
	}
	return "; what they do is in " + file
}

func compare(before, now map[string]harness.ProcessStats) error {
	var errs []error
	for name, n := range now {
		b, ok := before[name]
		if ok && (n.Goroutines > b.Goroutines+moreGoroutines || n.Descriptors > b.Descriptors+moreDescriptors || n.RSS > b.RSS+moreMemory) {
			errs = append(errs, fmt.Errorf("%s holds %s, and held %s", name, n, b))
		}
	}
	return errors.Join(errs...)
}

// withPanics yields the history with what a handler that was made to panic answered:
// 500 is right for that request, and for no other.
func (f *fireRun) withPanics(all iter.Seq2[history.Operation, error]) iter.Seq2[history.Operation, error] {
	return func(yield func(history.Operation, error) bool) {
		f.failed = 0
		for op, err := range all {
			if err == nil && op.Status == http.StatusInternalServerError && overlaps(f.panics, op) {
				f.failed++
				op.Status = http.StatusServiceUnavailable
			}
			if !yield(op, err) {
				return
			}
		}
	}
}

func overlaps(windows []check.Window, o history.Operation) bool {
	for _, w := range windows {
		if o.Start <= w.To && o.End >= w.From {
			return true
		}
	}
	return false
}

// judgePanics: as many requests fail as handlers panicked, and no more.
func (f *fireRun) judgePanics() {
	if f.failed > len(f.panics) {
		f.report.problem("%d requests were answered 500, and %d handlers panicked", f.failed, len(f.panics))
	}
}
