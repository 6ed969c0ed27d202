package progress

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Count shows how many of many are done, at which rate, and how long the others will take:
// a bar on a terminal, and a line now and then elsewhere.
type Count struct {
	progress *Progress
	what     string
	total    int64
	bar      *progressbar.ProgressBar // nil: lines
	began    time.Time
	next     time.Time
}

// linesEvery is how often a line is written where no bar can be drawn.
const linesEvery = 10 * time.Second

// Count begins to count.
func (p *Progress) Count(what string, total int64) *Count {
	c := &Count{progress: p, what: what, total: total, began: time.Now()}
	c.next = c.began.Add(linesEvery)
	if p.bar != nil {
		_ = p.bar.Clear() // to a terminal of the user's: nobody to tell
		c.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(p.output), progressbar.OptionSetDescription(what),
			progressbar.OptionSetWidth(30), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
			progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(200*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	return c
}

// Set says how many are done.
func (c *Count) Set(done int64) {
	if c.bar != nil {
		_ = c.bar.Set64(min(done, c.total)) // a picture that can't be drawn
		return
	}
	if now := time.Now(); now.After(c.next) {
		c.next = now.Add(linesEvery)
		c.progress.Note("%s: %s", c.what, line(done, c.total, now.Sub(c.began)))
	}
}

// line is how far something is after a time.
func line(done, total int64, after time.Duration) string {
	rate := float64(done) / max(after.Seconds(), 0.001)
	text := fmt.Sprintf("%d of %d, %.0f/s", done, total, rate)
	if rate > 0 {
		text += fmt.Sprintf(", %.0f s left", float64(total-done)/rate)
	}
	return text
}

// End takes the bar away, and prints what came of it.
func (c *Count) End() {
	if c.bar != nil {
		_ = c.bar.Clear()
	}
	c.progress.Note("%s: %d in %.0f s", c.what, c.total, time.Since(c.began).Seconds())
}
