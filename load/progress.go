package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress tells the person at the terminal what goes on: with a bar there, in
// plain lines elsewhere.
type progress struct {
	output  io.Writer
	bar     *progressbar.ProgressBar // nil: lines alone
	steps   int
	done    int
	started time.Time
}

func newProgress(output io.Writer, steps int) *progress {
	p := &progress{output: output, steps: steps, started: time.Now()}
	if file, ok := output.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.bar = progressbar.NewOptions(steps,
			progressbar.OptionSetWriter(output), progressbar.OptionSetWidth(30), progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
	}
	return p
}

// begin says what is being done now.
func (p *progress) begin(what string) {
	if p.bar != nil {
		p.bar.Describe(what)
	}
}

// note prints a line.
func (p *progress) note(format string, args ...any) {
	if p.bar != nil {
		_ = p.bar.Clear() // to a terminal of the user's: nobody to tell
	}
	fmt.Fprintf(p.output, "%6.0f s  ", time.Since(p.started).Seconds())
	fmt.Fprintf(p.output, format+"\n", args...)
	if p.bar != nil {
		_ = p.bar.RenderBlank()
	}
}

// finish counts a step and prints what came of it.
func (p *progress) finish(format string, args ...any) {
	p.done++
	if p.bar != nil {
		_ = p.bar.Set(min(p.done, p.steps))
		p.note("%s", fmt.Sprintf(format, args...))
		return
	}
	p.note("[%d/%d] %s", p.done, p.steps, fmt.Sprintf(format, args...))
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
