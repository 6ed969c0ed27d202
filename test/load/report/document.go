// Package report holds what was measured, judges it against the goals, and writes
// it down as JSON, as a page and as a picture.
package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"highload.example/analytics/test/load/generator"
)

// The parts of a run.
const (
	PartSaturation = "saturation"
	PartRates      = "rates"
	PartBatches    = "batches"
)

// The subjects that the goals speak of.
const (
	Baseline = "baseline"
	Replica  = "replica"
	Embedded = "embedded"
	PgxAlone = "pgx alone"
)

// Document is everything that a run found out.
type Document struct {
	// Meaningful is false for a quick run.
	Meaningful bool      `json:"meaningful"`
	Command    string    `json:"command"`
	Started    time.Time `json:"started"`
	Seconds    float64   `json:"seconds"`
	Commit     string    `json:"commit"`
	Dirty      bool      `json:"dirty"`
	Machine    Machine   `json:"machine"`
	Settings   Settings  `json:"settings"`
	// Builds are the labels of other builds of the product that were measured too.
	Builds []string `json:"builds"`

	Goals      []Goal  `json:"goals"`
	Saturation []Phase `json:"saturation"`
	Rates      []Phase `json:"rates"`
	Batches    []Phase `json:"batches"`
	Audits     []Audit `json:"audits"`
	// NotThere are parts that a build can't be measured in, and why.
	NotThere []NotThere `json:"not_there"`
}

// Machine is where it was measured.
type Machine struct {
	CPU        string `json:"cpu"`
	CPUs       int    `json:"cpus"`
	MemoryMiB  int64  `json:"memory_mib"`
	Kernel     string `json:"kernel"`
	FileSystem string `json:"file_system"` // that the databases were on
	Go         string `json:"go"`
	Postgres   string `json:"postgres"`
	Redis      string `json:"redis"`
}

// Settings are the flags, as they took effect. Durations are in seconds.
type Settings struct {
	Parts            []string  `json:"parts"`
	Rounds           int       `json:"rounds"`
	Connections      int       `json:"connections"`
	Duration         float64   `json:"duration_s"`
	WarmUp           float64   `json:"warm_up_s"`
	Fractions        []float64 `json:"fractions"`
	RateDuration     float64   `json:"rate_duration_s"`
	RateWarmUp       float64   `json:"rate_warm_up_s"`
	Batch            int       `json:"batch"`
	BatchConnections int       `json:"batch_connections"`
	Writers          int       `json:"writers"`
	Users            int64     `json:"users"`
	Spread           float64   `json:"spread_s"`
	Seed             uint64    `json:"seed"`
	RateLimit        string    `json:"rate_limit"`
	Postgres         []string  `json:"postgres_settings"`
	GivenBinary      bool      `json:"given_binary"`
}

// Phase is one subject's turn in one round.
type Phase struct {
	Subject string `json:"subject"`
	Round   int    `json:"round"`
	// Fraction and Offered are the share of saturation and the rate per second of
	// an open loop, 0 for a closed one.
	Fraction float64 `json:"fraction,omitempty"`
	Offered  float64 `json:"offered_per_second,omitempty"`

	Seconds         float64          `json:"seconds"`
	Events          int64            `json:"events"` // answered with 202
	EventsPerSecond float64          `json:"events_per_second"`
	Statuses        map[string]int64 `json:"statuses"` // requests
	Share5xx        float64          `json:"share_5xx"`
	Latency         Percentiles      `json:"latency_ms"`
	CPU             CPU              `json:"cpu_us_per_event"`
	// OthersCPU is the share of the machine's CPU time that went to programs which
	// had no part in this, or to other virtual machines.
	OthersCPU float64 `json:"others_cpu_share"`
}

// Disturbance is the share of the CPUs from which others disturb a measurement.
const Disturbance = 0.05

// CPU is the CPU time of each party per event, in microseconds. Nil where there
// is no such party.
type CPU struct {
	Server    *float64 `json:"server"`
	Postgres  *float64 `json:"postgres"`
	Redis     *float64 `json:"redis"`
	Generator *float64 `json:"generator"`
}

// Percentiles are in milliseconds.
type Percentiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// NewPercentiles reads a histogram of microseconds.
func NewPercentiles(h *hdrhistogram.Histogram) Percentiles {
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	return Percentiles{P50: at(50), P90: at(90), P95: at(95), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1000}
}

// NewPhase returns a phase with what a load measured.
func NewPhase(subject string, round int, r *generator.Result) Phase {
	return Phase{
		Subject: subject, Round: round, Seconds: r.Elapsed.Seconds(), Events: r.Stored, EventsPerSecond: r.StoredPerSecond(),
		Statuses: r.Statuses, Share5xx: share5xx(r.Statuses), Latency: NewPercentiles(r.Latency),
	}
}

// share5xx returns the share of requests answered with a 5xx.
func share5xx(statuses map[string]int64) float64 {
	var failed, all int64
	for status, n := range statuses {
		all += n
		if status[0] == '5' {
			failed += n
		}
	}
	if all == 0 {
		return 0
	}
	return float64(failed) / float64(all)
}

// Audit is what was found in the database after a turn.
type Audit struct {
	Subject  string             `json:"subject"`
	Part     string             `json:"part"`
	Round    int                `json:"round"`
	Findings generator.Findings `json:"findings"`
	Correct  bool               `json:"correct"`
}

// NotThere is a part that a subject can't be measured in.
type NotThere struct {
	Subject string `json:"subject"`
	Part    string `json:"part"`
	Reason  string `json:"reason"`
}

// WriteJSON writes a document to a file.
func WriteJSON(file string, document any) error {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return WriteFile(file, append(text, '\n'))
}

// WriteFile writes a file and makes its directory.
func WriteFile(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // documentation is for everyone
		return fmt.Errorf("writing %s: %w", file, err)
	}
	if err := os.WriteFile(file, text, 0o644); err != nil { //nolint:gosec // documentation is for everyone
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}

// Median returns the middle value, or the mean of the two in the middle. There
// must be one.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// MedianThroughput returns the median of a subject's events per second, 0 when
// there are none.
func MedianThroughput(phases []Phase, subject string) float64 {
	values := collect(phases, subject, func(p *Phase) (float64, bool) { return p.EventsPerSecond, true })
	if len(values) == 0 {
		return 0
	}
	return Median(slices.Collect(maps.Values(values)))
}

// collect returns a figure of a subject's phases by round.
func collect(phases []Phase, subject string, figure func(*Phase) (float64, bool)) map[int]float64 {
	values := map[int]float64{}
	for i := range phases {
		if phases[i].Subject != subject {
			continue
		}
		if v, ok := figure(&phases[i]); ok {
			values[phases[i].Round] = v
		}
	}
	return values
}
