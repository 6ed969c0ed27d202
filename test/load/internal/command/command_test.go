package command

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// pair is written as name=/path.
type pair struct{ name, path string }

func (p *pair) UnmarshalText(text []byte) error {
	p.name, p.path, _ = strings.Cut(string(text), "=")
	return nil
}

func (p pair) String() string { return p.name + "=" + p.path[strings.LastIndex(p.path, "/")+1:] }

type flags struct {
	Quick    bool
	Rounds   int           `default:"3" quick:"1" help:"Number of rounds."`
	Duration time.Duration `default:"8s"`
	Dir      string        `private:""`
	Parts    []string      `default:"a,b"`
	Compare  []pair        `sep:"none"`
}

func (f *flags) Validate() error {
	if f.Rounds < 1 {
		return errors.New("--rounds must be at least 1")
	}
	return nil
}

func program(f *flags, run func(context.Context, string, io.Writer) error) *Program {
	return &Program{Name: "load", Call: "go run .", Description: "What it does.", Flags: f, Run: run}
}

func TestQuickSetsDefaultsOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args   string
		rounds int
		line   string
	}{
		{"", 3, "go run ."},
		{"--quick", 1, "go run . --quick"},
		{"--quick --rounds 2", 2, "go run . --quick --rounds=2"},
		{"--rounds=2 --quick", 2, "go run . --rounds=2 --quick"},
		{
			"--dir /some/where/it --compare one=/some/where/x --duration=2m --compare=two=y --parts=b,a", 3,
			"go run . --dir=it --compare=one=x --compare=two=y --duration=2m0s --parts=b,a",
		},
	} {
		var f flags
		line, err := program(&f, nil).Parse(strings.Fields(c.args), io.Discard)
		if err != nil || f.Rounds != c.rounds || line != c.line {
			t.Errorf("%q: %d rounds, %q, %v", c.args, f.Rounds, line, err)
		}
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		ends bool // the context
		args string
		err  error
		code int
		says string
	}{
		{"it works", false, "", nil, 0, ""},
		{"it fails", false, "", errors.New("for a reason"), ExitFailed, "load: for a reason"},
		{"it is interrupted", true, "", context.Canceled, ExitInterrupted, "interrupted"},
		{"help", false, "--help", nil, 0, "Number of rounds. With --quick: 1."},
		{"an unknown flag", false, "--nonsense", nil, ExitUsage, "nonsense"},
		{"an argument", false, "more", nil, ExitUsage, "more"},
		{"an invalid value", false, "--rounds=0", nil, ExitUsage, "--rounds must be at least 1"},
	} {
		var f flags
		ran := false
		ctx, cancel := context.WithCancel(t.Context())
		if c.ends {
			cancel()
		}
		var output strings.Builder
		code := program(&f, func(context.Context, string, io.Writer) error { ran = true; return c.err }).Execute(ctx, strings.Fields(c.args), &output, &output)
		cancel()
		if code != c.code || !strings.Contains(output.String(), c.says) {
			t.Errorf("%s: exit code %d: %s", c.name, code, &output)
		}
		if wants := c.args == ""; ran != wants {
			t.Errorf("%s: it ran: %t", c.name, ran)
		}
	}
}
