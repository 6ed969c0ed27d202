package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"highload.example/analytics/test/load/generator"
	"highload.example/analytics/test/load/internal/process"
	"highload.example/analytics/test/load/report"
)

const (
	overloadFactor = 10
	overloadWarmUp = time.Second
	sampleEvery    = 100 * time.Millisecond
	// recoveryTimeout bounds the wait for the first 202 after the database goes on.
	recoveryTimeout = time.Minute
	mebibyte        = 1 << 20
)

// overload stops the database under a load that is more than the server can take,
// and looks at its memory, at its answers, and at how soon it is back.
func (x *experiment) overload(ctx context.Context, in *instance, _ int) error {
	saturation := report.MedianThroughput(x.document.Saturation, in.name())
	before, err := process.Memory(in.process.PID(), "VmRSS")
	if err != nil {
		return err
	}
	witness, err := pgx.Connect(ctx, in.database.url)
	if err != nil {
		return fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	defer func() { _ = witness.Close(context.WithoutCancel(ctx)) }() // it was only to hang

	m, err := in.meter()
	if err != nil {
		return err
	}
	l := (&generator.Load{
		Address: in.address, Source: in.source, Ledger: in.ledger, Connections: x.options.overloadConnections,
		WarmUp: overloadWarmUp, Duration: x.options.overloadDuration, Tail: recoveryTimeout,
		OnMeasure: func() error {
			if err := x.stand.postgres.Pause(); err != nil {
				return fmt.Errorf("stopping PostgreSQL: %w", err)
			}
			return m.begin()
		},
	}).Prepare()

	// 1. The load goes on after the database does, until there is an answer.
	var recovery time.Duration
	var recoveryErr error
	var waiting sync.WaitGroup
	l.OnEnd = func() error {
		if err := errors.Join(m.end(), mustHang(ctx, witness)); err != nil {
			return err
		}
		waiting.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, recoveryTimeout)
			defer cancel()
			recovery, recoveryErr = l.AwaitAccepted(ctx)
			l.Stop()
		})
		if err := x.stand.postgres.Resume(); err != nil {
			return fmt.Errorf("having PostgreSQL go on: %w", err)
		}
		return nil
	}

	// 2. Meanwhile, its memory.
	samples, stopSampling := sampleMemory(in.process.PID())
	result, err := l.Do(ctx)
	waiting.Wait()
	stopSampling()
	err = errors.Join(err, x.stand.postgres.Resume()) // also when the load ended before its time
	if ended := in.process.HasEnded(); ended != nil {
		return ended
	}
	if err != nil {
		return err
	}
	if recoveryErr != nil {
		return fmt.Errorf("no event was accepted within %s after the database went on: %w", recoveryTimeout, recoveryErr)
	}
	peak, err := process.Memory(in.process.PID(), "VmHWM")
	if err != nil {
		return err
	}
	o := report.Overload{
		Subject: in.name(), Target: overloadFactor * saturation, Offered: float64(result.Requests) / result.Elapsed.Seconds(),
		Seconds: result.Elapsed.Seconds(), Statuses: result.Statuses,
		Latency: report.NewPercentiles(result.Latency), Refusals: report.NewPercentiles(result.Refusals),
		RSSBefore: float64(before) / mebibyte, RSSSamples: *samples, RSSPeak: float64(peak) / mebibyte,
		RecoverySeconds: recovery.Seconds(),
		ServerCPU:       m.spent().server.Seconds(), GeneratorCPU: m.spent().generator.Seconds(),
	}
	x.document.Overload = append(x.document.Overload, o)
	x.progress.Finish("overload, %s: %.0f requests/s, RSS %.0f MiB at most, refusals p50 %.1f ms, p99 %.1f ms, first 202 after %.2f s, %v",
		in.name(), o.Offered, max(o.RSSPeak, slices.Max(append(o.RSSSamples, 0))), o.Refusals.P50, o.Refusals.P99, o.RecoverySeconds, o.Statuses)
	return nil
}

// hangTime is how long a stopped database may take to answer before it is believed.
const hangTime = 300 * time.Millisecond

// mustHang returns an error when the database answers, which would mean that the
// whole part measured something else.
func mustHang(ctx context.Context, witness *pgx.Conn) error {
	asking, cancel := context.WithTimeout(ctx, hangTime)
	defer cancel()
	switch err := witness.Ping(asking); {
	case err == nil:
		return errors.New("PostgreSQL answers although its processes were stopped: the figures would be of something else")
	case ctx.Err() != nil:
		return ctx.Err()
	case asking.Err() == nil:
		return fmt.Errorf("PostgreSQL should hang, and said: %w", err)
	}
	return nil
}

// sampleMemory notes a process's memory in MiB every 100 ms until it is stopped.
func sampleMemory(pid int) (samples *[]float64, stop func()) {
	samples = &[]float64{}
	enough := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		ticker := time.NewTicker(sampleEvery)
		defer ticker.Stop()
		for {
			select {
			case <-enough:
				return
			case <-ticker.C:
			}
			rss, err := process.Memory(pid, "VmRSS")
			if err != nil {
				return // it ended, which others notice and say
			}
			*samples = append(*samples, float64(rss)/mebibyte)
		}
	})
	return samples, func() {
		close(enough)
		group.Wait()
	}
}
