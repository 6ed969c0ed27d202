package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress tells the person at the terminal what goes on: lines, and at a terminal a bar
// that shows how much of the time is over.
type progress struct {
	output  io.Writer
	started time.Time
	bar     *progressbar.ProgressBar // nil: lines alone

	mu sync.Mutex
}

func newProgress(output io.Writer, duration time.Duration) *progress {
	p := &progress{output: output, started: time.Now()}
	if file, ok := output.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.bar = progressbar.NewOptions(int(duration.Seconds()), progressbar.OptionSetWriter(output), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish())
	}
	return p
}

// note prints a line.
func (p *progress) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear() // to a terminal of the user's: nobody to tell
	}
	fmt.Fprintf(p.output, "%6.0f s  %s\n", time.Since(p.started).Seconds(), fmt.Sprintf(format, args...))
	if p.bar != nil {
		_ = p.bar.RenderBlank()
	}
}

// at moves the bar.
func (p *progress) at(passed time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Set(min(int(passed.Seconds()), p.bar.GetMax()))
	}
}

// end takes the bar away.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}
