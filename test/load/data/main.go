// Command data generates events and prints them as JSON lines, for `analytics import`.
package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"

	"highload.example/analytics/test/load/dataset"
	"highload.example/analytics/test/load/internal/command"
)

func main() { command.Main(program(&dataset.Config{}, os.Stderr)) }

func program(c *dataset.Config, progress io.Writer) *command.Program {
	return &command.Program{
		Name: "data", Call: "cd test && go run ./load/data", Flags: c,
		Description: "Generates events and prints them as JSON lines, for `analytics import`.",
		Run: func(_ context.Context, _ string, output io.Writer) error {
			bar := progressbar.NewOptions(c.Count, progressbar.OptionSetWriter(progress), progressbar.OptionSetDescription("generating events"),
				progressbar.OptionSetPredictTime(true), progressbar.OptionShowIts(), progressbar.OptionThrottle(time.Second))
			const step = 10_000
			err := c.Write(bufio.NewWriterSize(output, 1<<20), func(written int) {
				if written%step == 0 {
					_ = bar.Set(written) // a picture that can't be drawn
				}
			})
			return errors.Join(err, bar.Finish())
		},
	}
}
