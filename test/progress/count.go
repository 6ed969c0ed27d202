package progress

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Count shows how many of a number are done, at which rate, and how long the rest will
// take. It is safe for concurrent use.
type Count struct {
	progress *Progress
	what     string
	total    int64
	began    time.Time

	// These need the lock of progress.
	bar  *progressbar.ProgressBar // nil: lines
	next time.Time                // when a line is due
}

// lineEvery is how often a line is printed where there is no bar.
const lineEvery = 10 * time.Second

// Count begins to count. Its bar takes the place of the run's until its End.
func (p *Progress) Count(what string, total int64) *Count {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &Count{progress: p, what: what, total: total, began: p.now()}
	c.next = c.began.Add(lineEvery)
	if p.terminal {
		if p.drawn != nil {
			_ = p.drawn.Clear()
		}
		c.bar = p.newBar(total, progressbar.OptionSetDescription(what), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
			progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(200*time.Millisecond))
		p.drawn = c.bar
	}
	return c
}

// Set says how many are done.
func (c *Count) Set(done int64) {
	p := c.progress
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.bar != nil {
		_ = c.bar.Set64(min(done, c.total))
		return
	}
	if now := p.now(); now.After(c.next) {
		c.next = now.Add(lineEvery)
		p.note("%s: %s", c.what, line(done, c.total, now.Sub(c.began)))
	}
}

// line says how far a count is after a time.
func line(done, total int64, after time.Duration) string {
	rate := float64(done) / max(after.Seconds(), 0.001)
	text := fmt.Sprintf("%d of %d, %.0f/s", done, total, rate)
	if rate > 0 {
		text += fmt.Sprintf(", %.0f s left", float64(total-done)/rate)
	}
	return text
}

// End gives the run its bar back, and prints how long the count took.
func (c *Count) End() {
	p := c.progress
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.bar != nil {
		_ = c.bar.Clear()
		p.drawn = p.whole
	}
	p.note("%s: %d in %.0f s", c.what, c.total, p.now().Sub(c.began).Seconds())
}
