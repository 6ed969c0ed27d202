package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress tells people how far it is, how fast, and how long it will take: a bar on a
// terminal, and else a line now and then.
type progress struct {
	env   *Env
	what  string
	bar   *progressbar.ProgressBar // nil: lines
	began time.Time
	next  time.Time // when the next line is due

	total  int64 // steps, which are bytes of a file or events; -1: not known
	steps  int64
	events int64
}

// linesEvery is how often a line is written where no bar can be drawn.
const linesEvery = 5 * time.Second

// newProgress begins. Steps are what total counts, -1 when it isn't known.
func newProgress(env *Env, what string, total int64) *progress {
	p := &progress{env: env, what: what, began: env.Now(), total: total}
	p.next = p.began.Add(linesEvery)
	if env.Terminal {
		p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(env.Stderr), progressbar.OptionSetDescription(what),
			progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(), progressbar.OptionThrottle(100*time.Millisecond))
	}
	return p
}

// add says that so many more events are done, and which step has been reached.
func (p *progress) add(events, steps int64) {
	p.events += events
	p.steps = steps
	now := p.env.Now()
	switch {
	case p.bar != nil:
		if now.After(p.next) || p.events == events {
			p.next = now.Add(time.Second)
			p.bar.Describe(p.what + ", " + p.rate(now))
		}
		_ = p.bar.Set64(steps) // a picture that can't be drawn
	case now.After(p.next):
		p.next = now.Add(linesEvery)
		fmt.Fprintln(p.env.Stderr, p.rate(now)+p.left(now))
	}
}

func (p *progress) rate(now time.Time) string {
	seconds := max(now.Sub(p.began).Seconds(), 0.001)
	return fmt.Sprintf("%d events, %.0f per second", p.events, float64(p.events)/seconds)
}

// left says how much is done and how long the rest will take at the rate so far.
func (p *progress) left(now time.Time) string {
	if p.total <= 0 || p.steps <= 0 || p.steps > p.total {
		return ""
	}
	rest := time.Duration(float64(now.Sub(p.began)) * float64(p.total-p.steps) / float64(p.steps))
	return fmt.Sprintf(", %d %%, %s left", 100*p.steps/p.total, rest.Round(time.Second))
}

func (p *progress) end() string {
	if p.bar != nil {
		_ = p.bar.Clear() // the line below says the rest
	}
	return p.rate(p.env.Now())
}

// counted counts the bytes that were read of a file, as it is on disk: compressed or not.
type counted struct {
	io.Reader
	bytes int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.bytes += int64(n)
	return n, err
}
