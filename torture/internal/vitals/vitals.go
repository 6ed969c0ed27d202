// Package vitals reads what a process holds: memory, goroutines, descriptors. The
// system is asked for what it knows, and the process for the rest, on /metrics.
package vitals

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Process is a replica that is looked at.
type Process struct {
	Name string
	URL  string // where it serves: http://host:port
	PID  int
}

// Reading is what a process holds at one moment. A figure that couldn't be had is -1.
type Reading struct {
	RSS         int64 `json:"rss"` // bytes
	Descriptors int64 `json:"descriptors"`
	Goroutines  int64 `json:"goroutines"`
}

// client asks for metrics. A connection that is kept would count as the process's.
var client = &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// Read reads a process's vitals. A process that doesn't answer has no count of
// goroutines; one that is gone is an error.
func (p Process) Read(ctx context.Context) (Reading, error) {
	r := Reading{RSS: -1, Descriptors: -1, Goroutines: -1}
	descriptors, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID))
	if err != nil {
		return r, fmt.Errorf("reading the descriptors of %s: %w", p.Name, err)
	}
	r.Descriptors = int64(len(descriptors))
	if r.RSS, err = p.memory("VmRSS"); err != nil {
		return r, err
	}
	metrics, err := p.Metrics(ctx, "go_goroutines")
	if err == nil {
		r.Goroutines = int64(metrics["go_goroutines"])
	}
	return r, nil
}

// memory returns a field of /proc/PID/status in bytes.
func (p Process) memory(field string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		return -1, fmt.Errorf("reading the memory of %s: %w", p.Name, err)
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, field+":"); found {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				return -1, fmt.Errorf("reading the memory of %s: %w", p.Name, err)
			}
			return kib << 10, nil
		}
	}
	return -1, fmt.Errorf("reading the memory of %s: there is no %s: it has ended", p.Name, field)
}

// Metrics returns the metrics that have one of the names, with or without labels,
// under their whole names as Prometheus writes them.
func (p Process) Metrics(ctx context.Context, names ...string) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("asking %s for its metrics: %w", p.Name, err)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking %s for its metrics: %w", p.Name, err)
	}
	defer func() { _ = response.Body.Close() }() // it was read
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking %s for its metrics: %s", p.Name, response.Status)
	}
	return parse(response.Body, names)
}

func parse(text io.Reader, names []string) (map[string]float64, error) {
	found := map[string]float64{}
	scanner := bufio.NewScanner(text)
	for scanner.Scan() {
		line := scanner.Text()
		end := strings.LastIndexByte(line, ' ')
		if end < 0 || line[0] == '#' {
			continue
		}
		key := line[:end]
		name, _, _ := strings.Cut(key, "{")
		for _, wanted := range names {
			if name != wanted && key != wanted {
				continue
			}
			value, err := strconv.ParseFloat(line[end+1:], 64)
			if err != nil {
				return nil, fmt.Errorf("reading the metric %s: %w", key, err)
			}
			found[key] = value
		}
	}
	return found, scanner.Err()
}

// Peak is the most that a process held while it was watched.
type Peak struct {
	mu   sync.Mutex
	most Reading
	stop context.CancelFunc
	done sync.WaitGroup
}

// watchEvery is short enough to see what lasts.
const watchEvery = 100 * time.Millisecond

// Watch looks at a process ten times a second until Stop.
func Watch(ctx context.Context, p Process) *Peak {
	ctx, cancel := context.WithCancel(ctx)
	k := &Peak{stop: cancel}
	k.done.Go(func() {
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		for {
			r, err := p.Read(ctx)
			if err == nil {
				k.mu.Lock()
				k.most = Reading{
					RSS: max(k.most.RSS, r.RSS), Descriptors: max(k.most.Descriptors, r.Descriptors), Goroutines: max(k.most.Goroutines, r.Goroutines),
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

// Stop ends the watch and returns what it saw.
func (k *Peak) Stop() Reading {
	k.stop()
	k.done.Wait()
	return k.most
}

// String says it for people.
func (r Reading) String() string {
	return fmt.Sprintf("%d MiB, %d goroutines, %d descriptors", r.RSS>>20, r.Goroutines, r.Descriptors)
}
