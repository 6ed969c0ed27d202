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
	"highload.example/analytics/test/progress"
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

// recoveryBound is how long every replica may take to accept events again after a repair.
const recoveryBound = 5 * time.Second

// The times that the end of a run may take.
const (
	settleTimeout = 90 * time.Second
	restTimeout   = 30 * time.Second
)

// previewed is how many steps are printed ahead.
const previewed = 200

// runFaults runs the modes fleet, embedded and soak.
func runFaults(ctx context.Context, o *options, output io.Writer) (err error) {
	all, err := nemesis.Select(nemesis.Faults(o.Mode == modeEmbedded, o.smallDisks), o.Faults)
	if err != nil {
		return fmt.Errorf("--faults: %w", err)
	}
	faults := all
	var p *progress.Progress
	if o.Short {
		faults = nemesis.Sample(o.Seed, all)
		p = progress.New(output, len(faults))
	} else {
		p = progress.NewTimed(output, o.Duration)
	}
	defer p.End()
	if err := os.MkdirAll(o.Out, 0o750); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	replicas := 3
	if o.Mode == modeEmbedded {
		replicas = 1
	}
	steps := previewed
	if o.Short {
		steps = len(faults)
	}
	schedule := nemesis.Describe(o.Seed, faults, replicas, steps)
	if err := os.WriteFile(filepath.Join(o.Out, "schedule.txt"), []byte(schedule), 0o600); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	p.Note("seed %d: %d faults in rounds, each once; the first steps, of %s:\n%s", o.Seed, len(faults), filepath.Join(o.Out, "schedule.txt"), firstLines(schedule, 12))
	if !o.smallDisks {
		p.Note("NOT DONE: no disk is filled: mounting small ones takes root")
	}

	r := &report{Mode: o.Mode, Seed: o.Seed, Duration: o.Duration, Started: time.Now().UTC().Truncate(time.Second), Faults: map[string]int{}, DisksNotFilled: !o.smallDisks, Short: o.Short}
	for _, f := range all {
		if !slices.Contains(faults, f) {
			r.LeftOut = append(r.LeftOut, f.Name)
		}
	}
	p.Note("building the product with failpoints, and starting the fleet")
	s, err := fleet.Open(ctx, fleet.Config{
		Root: o.root, Logs: filepath.Join(o.Out, "logs"), Program: harness.Program{Path: o.Binary}, Embedded: o.Mode == modeEmbedded, SmallDisks: o.smallDisks, Stores: o.Mode != modeEmbedded, Duration: o.Duration,
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
	historyFile := filepath.Join(o.Out, "history.ndjson")
	recorder, err := history.Create(historyFile)
	if err != nil {
		return err
	}
	f := &faultRun{options: o, progress: p, fleet: s, recorder: recorder, report: r}
	stopSoak := func() []soak.Sample { return nil }
	if o.Mode == modeSoak {
		if o.Rate, err = f.soakRate(ctx); err != nil {
			return err
		}
		stopSoak = f.soak(ctx)
	}
	in, err := f.run(ctx, faults)
	samples := stopSoak()
	if err := errors.Join(err, recorder.Close()); err != nil {
		return err
	}
	if o.Mode == modeSoak {
		if err := f.drawSoak(samples, historyFile); err != nil {
			return err
		}
	}

	p.Note("checking every promise against the history")
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
	p.End()
	return r.write(o.Out, output)
}

// faultRun is a run of the modes fleet, embedded and soak.
type faultRun struct {
	options  *options
	progress *progress.Progress
	fleet    *fleet.Fleet
	recorder *history.Recorder
	report   *report

	panics []check.Window // when requests were made to panic
	failed int            // requests that were answered 500 then
}

// run makes traffic, breaks things, and waits for rest. It returns what is to be
// checked.
func (f *faultRun) run(ctx context.Context, faults []*nemesis.Fault) (check.Input, error) {
	o, s, r := f.options, f.fleet, f.report
	clients, err := workload.New(workload.Config{
		Targets: append([]string(nil), s.Targets...), Recorder: f.recorder, Seed: o.Seed, Senders: senders, Readers: readers, Rate: o.Rate,
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
	injecting, cancel := context.WithTimeout(ctx, o.Duration)
	limit := 0
	if o.Short { // however long that takes
		cancel()
		injecting, cancel = context.WithCancel(ctx)
		limit = len(faults)
	}
	began := time.Now()
	steps, failed := nemesis.Run(injecting, nemesis.Config{
		Fleet: s, Faults: faults, Seed: o.Seed, Recorder: f.recorder, EventType: clients.Types()[0], Bound: recoveryBound, Steps: limit,
		OnStep: func(step nemesis.Result) { f.stepped(step, time.Since(began)) },
	})
	cancel()
	stopTraffic()
	<-quiet
	stopWatching()
	slow := <-watched
	r.SlowRedis = len(slow.windows)
	r.add(steps)
	f.panics = nemesis.Panics(steps)
	if err := errors.Join(failed, slow.err, ctx.Err()); err != nil {
		return check.Input{}, err
	}

	// 3. Everything is repaired: clients that had no clear answer send again, until there is one.
	f.progress.Note("repaired after %d steps: sending again what got no clear answer", len(steps))
	trouble := append(nemesis.RedisTrouble(steps), slow.windows...)
	in := check.Input{RedisTrouble: append(trouble, nemesis.BothInTrouble(steps, trouble)...), Settling: f.recorder.Now()}
	settling, cancel := context.WithTimeout(ctx, settleTimeout)
	clients.Settle(settling)
	cancel()

	// 4. What is counted, everywhere.
	f.progress.Note("at rest: reading every count from every replica")
	if in.AtRest, err = f.counts(ctx, clients); err != nil {
		return in, err
	}

	// 5. What is still held.
	f.progress.Note("%d counts were read: looking at what the processes hold", len(in.AtRest))
	clients.Close()
	if r.Connections, err = s.Connections(ctx); err != nil {
		r.problem("at rest: %v", err)
	}
	if r.After, err = f.resting(ctx, r.Before); err != nil {
		r.problem("%v", err)
	}
	return in, s.Died()
}

// stepped shows a step.
func (f *faultRun) stepped(step nemesis.Result, passed time.Duration) {
	late := ""
	if step.Late {
		late = "  TOO LATE"
	}
	text := fmt.Sprintf("step %d: %s; first success after %s, everywhere after %s%s",
		step.Number, step.Step, step.First.Round(time.Millisecond), step.All.Round(time.Millisecond), late)
	if f.options.Short {
		f.progress.Finish("%s", text)
		return
	}
	f.progress.At(passed)
	f.progress.Note("%s", text)
}

// warmUp is long enough for pools to be filled.
const warmUp = 5 * time.Second

// counts reads every count of every replica and of Redis, once Redis has had time to get
// what it lacks. The checker says whether they are right.
func (f *faultRun) counts(ctx context.Context, clients *workload.Clients) ([]history.Operation, error) {
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
			f.progress.Note("counts still differ: %v", differing)
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

// redisWatch is what came of watching Redis.
type redisWatch struct {
	windows []check.Window
	err     error
}

// watchRedis returns, at the end, when a replica found that Redis didn't answer in time:
// because of the nemesis or because the machine was too busy, which is the same to the
// product. Its error says that a replica doesn't count these failures.
func (f *faultRun) watchRedis(ctx context.Context) <-chan redisWatch {
	done := make(chan redisWatch, 1)
	if f.fleet.Redis == nil {
		done <- redisWatch{}
		return done
	}
	const failures = "analytics_live_counts_failures_total"
	go func() {
		var watch redisWatch
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
				n, err := metrics.Value(failures)
				if err != nil {
					watch.err = err
				}
				if n != seen[r.Name] {
					seen[r.Name] = n
					watch.windows = append(watch.windows, check.Window{From: from - time.Second.Nanoseconds(), To: f.recorder.Now() + time.Second.Nanoseconds()})
				}
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
		done <- watch
	}()
	return done
}

// differing returns an error that names a count which isn't that of the rows.
func (f *faultRun) differing(ctx context.Context, types []string, stored map[string]int64) error {
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
func (f *faultRun) resting(ctx context.Context, before map[string]harness.ProcessStats) (map[string]harness.ProcessStats, error) {
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

// stacks says which file has the stacks of all goroutines.
func (f *faultRun) stacks(ctx context.Context, leaks error) string {
	if leaks == nil {
		return ""
	}
	file := filepath.Join(f.options.Out, "goroutines.txt")
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
func (f *faultRun) withPanics(all iter.Seq2[history.Operation, error]) iter.Seq2[history.Operation, error] {
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
func (f *faultRun) judgePanics() {
	if f.failed > len(f.panics) {
		f.report.problem("%d requests were answered 500, and %d handlers panicked", f.failed, len(f.panics))
	}
}
