package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"highload.example/analytics/test/load/generator"
	"highload.example/analytics/test/load/report"
)

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// saturate sends single events as fast as the server takes them.
func (x *experiment) saturate(ctx context.Context, i *instance, round int) error {
	result, cost, err := i.send(ctx, &generator.Load{
		Connections: x.options.Connections, WarmUp: x.options.WarmUp, Duration: x.options.Duration,
	})
	if err != nil {
		return err
	}
	p := x.phase(i.name(), round, &result, cost, i)
	x.document.Saturation = append(x.document.Saturation, p)
	x.progress.Finish("saturation, round %d, %s: %s", round, i.name(), summary(&p))
	if result.Stored == 0 {
		return errors.New("no event at all was accepted")
	}
	return nil
}

// summary is a phase in a line.
func summary(p *report.Phase) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%.0f events/s, p50 %.1f ms, p99 %.1f ms", p.EventsPerSecond, p.Latency.P50, p.Latency.P99)
	if p.CPU.Server != nil {
		fmt.Fprintf(&text, ", server %.1f µs", *p.CPU.Server)
	}
	for _, status := range slices.Sorted(maps.Keys(p.Statuses)) {
		if status != "202" {
			fmt.Fprintf(&text, ", %s: %d", status, p.Statuses[status])
		}
	}
	if p.OthersCPU > report.Disturbance {
		fmt.Fprintf(&text, ", and others took %.0f %% of the CPUs", p.OthersCPU*100)
	}
	return text.String()
}

// rates sends single events at fixed rates, the lowest first.
func (x *experiment) rates(ctx context.Context, i *instance, round int) error {
	saturation := report.MedianThroughput(x.document.Saturation, i.name())
	if saturation == 0 {
		return errors.New("its saturation isn't known, and rates are shares of it")
	}
	for _, fraction := range x.options.Fractions {
		offered := saturation * fraction
		x.progress.Begin(fmt.Sprintf("rates, round %d, %s, %.0f/s", round, i.name(), offered))
		result, cost, err := i.send(ctx, &generator.Load{
			Connections: x.options.Connections, Rate: offered, WarmUp: x.options.RateWarmUp, Duration: x.options.RateDuration,
		})
		if err != nil {
			return err
		}
		p := x.phase(i.name(), round, &result, cost, i)
		p.Fraction, p.Offered = fraction, offered
		x.document.Rates = append(x.document.Rates, p)
		x.progress.Finish("rates, round %d, %s at %g of saturation (%.0f/s): %s", round, i.name(), fraction, offered, summary(&p))
	}
	return nil
}
