// Package progress tells the person at the terminal what goes on.
package progress

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Progress is how far a run is: it tells with a bar there, in
// plain lines elsewhere.
type Progress struct {
	output  io.Writer
	bar     *progressbar.ProgressBar // nil: lines alone
	steps   int
	done    int
	started time.Time
}

// New begins a run of so many steps.
func New(output io.Writer, steps int) *Progress {
	p := &Progress{output: output, steps: steps, started: time.Now()}
	if file, ok := output.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.bar = progressbar.NewOptions(steps,
			progressbar.OptionSetWriter(output), progressbar.OptionSetWidth(30), progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
	}
	return p
}

// Begin says what is being done now.
func (p *Progress) Begin(what string) {
	if p.bar != nil {
		p.bar.Describe(what)
	}
}

// Note prints a line.
func (p *Progress) Note(format string, args ...any) {
	if p.bar != nil {
		_ = p.bar.Clear() // to a terminal of the user's: nobody to tell
	}
	fmt.Fprintf(p.output, "%6.0f s  ", time.Since(p.started).Seconds())
	fmt.Fprintf(p.output, format+"\n", args...)
	if p.bar != nil {
		_ = p.bar.RenderBlank()
	}
}

// Finish counts a step and prints what came of it.
func (p *Progress) Finish(format string, args ...any) {
	p.done++
	if p.bar != nil {
		_ = p.bar.Set(min(p.done, p.steps))
		p.Note("%s", fmt.Sprintf(format, args...))
		return
	}
	p.Note("[%d/%d] %s", p.done, p.steps, fmt.Sprintf(format, args...))
}

// End takes the bar away.
func (p *Progress) End() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
