package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/procfs"
)

// Target is a process of the product that is watched.
type Target struct {
	Name string
	URL  string // where it serves: http://host:port
	PID  int
}

// ProcessStats is what a process holds at one moment. A figure that couldn't be had is -1.
type ProcessStats struct {
	RSS         int64 `json:"rss"`      // bytes
	PeakRSS     int64 `json:"peak_rss"` // bytes, since the start of the process
	Descriptors int64 `json:"descriptors"`
	Goroutines  int64 `json:"goroutines"`
}

// String shows the figures to people.
func (s ProcessStats) String() string {
	return fmt.Sprintf("%d MiB, %d goroutines, %d descriptors", s.RSS>>20, s.Goroutines, s.Descriptors)
}

// Stats reads what the process holds. A process that doesn't answer has no number of
// goroutines; one that is gone is an error.
func (t Target) Stats(ctx context.Context) (ProcessStats, error) {
	s := ProcessStats{RSS: -1, PeakRSS: -1, Descriptors: -1, Goroutines: -1}
	process, err := procfs.NewProc(t.PID)
	if err != nil {
		return s, fmt.Errorf("reading the process stats of %s: %w", t.Name, err)
	}
	descriptors, err := process.FileDescriptorsLen()
	if err != nil {
		return s, fmt.Errorf("reading the descriptors of %s: %w", t.Name, err)
	}
	s.Descriptors = int64(descriptors)
	if s.RSS, s.PeakRSS, err = Memory(t.PID); err != nil {
		return s, fmt.Errorf("%s: %w", t.Name, err)
	}
	if metrics, err := t.Metrics(ctx); err == nil {
		s.Goroutines = int64(metrics.Sum("go_goroutines"))
	}
	return s, nil
}

// Memory returns the resident memory of a process, now and at its peak, in bytes.
func Memory(pid int) (rss, peak int64, err error) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return -1, -1, fmt.Errorf("reading the memory of process %d: %w", pid, err)
	}
	status, err := process.NewStatus()
	if err != nil {
		return -1, -1, fmt.Errorf("reading the memory of process %d: %w", pid, err)
	}
	if status.VmRSS == 0 {
		return -1, -1, fmt.Errorf("reading the memory of process %d: it has none: it has ended", pid)
	}
	return int64(status.VmRSS), int64(status.VmHWM), nil
}

// ResetPeak sets the peak of a process's memory to what it has now, as proc(5) says.
func ResetPeak(pid int) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("resetting the peak of memory: %w", err)
	}
	return nil
}

// Metrics are what GET /metrics returned.
type Metrics map[string]*dto.MetricFamily

// Metrics reads the process's metrics.
func (t Target) Metrics(ctx context.Context) (Metrics, error) {
	status, body, err := Request(ctx, http.MethodGet, t.URL+"/metrics")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the metrics of %s: %w", t.Name, err)
	}
	return ParseMetrics(body)
}

// ParseMetrics reads Prometheus's text format.
func ParseMetrics(text []byte) (Metrics, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	return families, nil
}

// Sum adds up the counters, gauges and untyped values of a name whose labels include
// those given as name, value, name, value; 0 when there are none.
func (m Metrics) Sum(name string, labels ...string) float64 {
	total := 0.0
	for _, metric := range m[name].GetMetric() {
		if hasLabels(metric, labels) {
			total += metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + metric.GetUntyped().GetValue()
		}
	}
	return total
}

// Value is Sum for a name that must be there: a renamed metric is an error, not 0.
func (m Metrics) Value(name string, labels ...string) (float64, error) {
	if m[name] == nil {
		return 0, fmt.Errorf("there is no metric %s", name)
	}
	return m.Sum(name, labels...), nil
}

func hasLabels(metric *dto.Metric, labels []string) bool {
	for i := 0; i+1 < len(labels); i += 2 {
		found := false
		for _, pair := range metric.GetLabel() {
			found = found || pair.GetName() == labels[i] && pair.GetValue() == labels[i+1]
		}
		if !found {
			return false
		}
	}
	return true
}

// Each calls use for every sample of a name, with its labels as Prometheus writes them:
// name{label="value"}.
func (m Metrics) Each(name string, use func(series string, value float64)) {
	for _, metric := range m[name].GetMetric() {
		pairs := make([]string, 0, len(metric.GetLabel()))
		for _, pair := range metric.GetLabel() {
			pairs = append(pairs, fmt.Sprintf("%s=%q", pair.GetName(), pair.GetValue()))
		}
		series := name
		if len(pairs) > 0 {
			series += "{" + strings.Join(pairs, ",") + "}"
		}
		use(series, metric.GetCounter().GetValue()+metric.GetGauge().GetValue()+metric.GetUntyped().GetValue())
	}
}

// Peak watches a process and keeps the most that it held.
type Peak struct {
	mu   sync.Mutex
	most ProcessStats
	stop context.CancelFunc
	done sync.WaitGroup
}

// watchEvery is short enough to see what lasts.
const watchEvery = 100 * time.Millisecond

// WatchPeak reads a process's stats ten times a second until Stop.
func WatchPeak(ctx context.Context, t Target) *Peak {
	ctx, cancel := context.WithCancel(ctx)
	k := &Peak{stop: cancel}
	k.done.Go(func() {
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		for {
			if s, err := t.Stats(ctx); err == nil {
				k.mu.Lock()
				k.most = ProcessStats{
					RSS: max(k.most.RSS, s.RSS), PeakRSS: max(k.most.PeakRSS, s.PeakRSS),
					Descriptors: max(k.most.Descriptors, s.Descriptors), Goroutines: max(k.most.Goroutines, s.Goroutines),
				}
				k.mu.Unlock()
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	})
	return k
}

// Stop ends the watch and returns the most that was seen.
func (k *Peak) Stop() ProcessStats {
	k.stop()
	k.done.Wait()
	return k.most
}

// clockTick is the unit of a process's times in /proc: USER_HZ, which is 100 on every
// platform that Linux has today.
const clockTick = time.Second / 100

// TreeCPU returns the CPU time of a process and its children, the ended ones included: a
// server that has a process for each connection.
func TreeCPU(pid int) (time.Duration, error) {
	root, err := procfs.NewProc(pid)
	if err != nil {
		return 0, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
	}
	stat, err := root.Stat()
	if err != nil {
		return 0, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
	}
	total := ticks(stat.UTime, stat.STime) + time.Duration(stat.CUTime+stat.CSTime)*clockTick
	all, err := procfs.AllProcs()
	if err != nil {
		return 0, fmt.Errorf("listing processes: %w", err)
	}
	for _, process := range all {
		stat, err := process.Stat()
		if hasEnded(err) {
			continue // it ended meanwhile
		}
		if err != nil {
			return 0, fmt.Errorf("reading the CPU time of processes: %w", err)
		}
		if stat.PPID == pid {
			total += ticks(stat.UTime, stat.STime)
		}
	}
	return total, nil
}

func ticks(user, system uint) time.Duration { return time.Duration(user+system) * clockTick }

// hasEnded reports whether reading a process failed because it has ended.
func hasEnded(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// OwnCPU returns the CPU time of the calling process.
func OwnCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("reading our own CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// MachineCPU returns the CPU time that all processes have taken together, with what other
// virtual machines have taken from this one.
func MachineCPU() (time.Duration, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, fmt.Errorf("reading the machine's CPU time: %w", err)
	}
	stat, err := fs.Stat()
	if err != nil {
		return 0, fmt.Errorf("reading the machine's CPU time: %w", err)
	}
	c := stat.CPUTotal
	return time.Duration((c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ + c.Steal) * float64(time.Second)), nil
}
