// Package progress shows the person at the terminal how far a program is: a bar on a
// terminal, lines elsewhere.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Progress is how far a run is. It is safe for concurrent use.
type Progress struct {
	output   io.Writer
	terminal bool
	now      func() time.Time
	started  time.Time

	mu    sync.Mutex
	total int                      // steps, or seconds
	done  int                      // of total
	whole *progressbar.ProgressBar // the run's; nil: lines alone
	drawn *progressbar.ProgressBar // the run's, or that of a Count; nil: none
}

// New begins a run of so many steps. End ends it.
func New(output io.Writer, steps int) *Progress {
	p := begin(output, steps)
	p.draw(progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true))
	return p
}

// NewTimed begins a run that takes a time, of which At tells how much is over. End ends it.
func NewTimed(output io.Writer, duration time.Duration) *Progress {
	p := begin(output, int(duration.Seconds()))
	p.draw(progressbar.OptionSetPredictTime(false))
	return p
}

func begin(output io.Writer, total int) *Progress {
	p := &Progress{output: output, total: total, now: time.Now}
	p.started = p.now()
	if file, ok := output.(*os.File); ok {
		p.terminal = term.IsTerminal(int(file.Fd()))
	}
	return p
}

// draw gives the run its bar, if it is on a terminal.
func (p *Progress) draw(options ...progressbar.Option) {
	if p.terminal {
		p.whole = p.newBar(int64(p.total), options...)
		p.drawn = p.whole
	}
}

func (p *Progress) newBar(total int64, options ...progressbar.Option) *progressbar.ProgressBar {
	return progressbar.NewOptions64(total, append([]progressbar.Option{
		progressbar.OptionSetWriter(p.output), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(),
	}, options...)...)
}

// Begin says what is being done now. Only a bar shows it.
func (p *Progress) Begin(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.whole != nil {
		p.whole.Describe(what)
	}
}

// Note prints a line, after the time since the beginning.
func (p *Progress) Note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(format, args...)
}

// note needs the lock.
func (p *Progress) note(format string, args ...any) {
	if p.drawn != nil {
		_ = p.drawn.Clear() // a terminal that can't be written to has no reader
	}
	fmt.Fprintf(p.output, "%6.0f s  %s\n", p.now().Sub(p.started).Seconds(), fmt.Sprintf(format, args...))
	if p.drawn != nil {
		_ = p.drawn.RenderBlank()
	}
}

// Finish counts a step and prints its result.
func (p *Progress) Finish(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	if p.whole == nil {
		format, args = "[%d/%d] %s", []any{p.done, p.total, fmt.Sprintf(format, args...)}
	} else {
		_ = p.whole.Set(min(p.done, p.total))
	}
	p.note(format, args...)
}

// At tells how much of the time of a timed run is over.
func (p *Progress) At(passed time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.whole != nil {
		_ = p.whole.Set(min(int(passed.Seconds()), p.total))
	}
}

// End takes the bar away. Ending twice is harmless; lines can still be printed.
func (p *Progress) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn != nil {
		_ = p.drawn.Clear()
	}
	p.whole, p.drawn = nil, nil
}
