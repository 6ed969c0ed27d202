// Package command is what the command lines of the load programs have in common.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// The exit codes besides 0.
const (
	ExitFailed      = 1
	ExitUsage       = 2
	ExitInterrupted = 130
)

// Program is a program and how its command line is described.
type Program struct {
	Name        string
	Call        string // how it is called, from the repository's root
	Description string
	// Flags points to a struct with kong's tags, and may have a method Validate. A tag quick is
	// what a flag's default is with --quick; a tag private has Line show only the last
	// element of a path.
	Flags any
	// Run does the work. Its context ends with a signal; line is the command line as a report
	// shows it.
	Run func(ctx context.Context, line string, output io.Writer) error
}

// Main runs a program and ends this one with its exit code.
func Main(p *Program) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	code := p.Execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Execute runs the program and returns its exit code.
func (p *Program) Execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	line, err := p.Parse(args, stdout)
	switch {
	case errors.Is(err, ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "%s: %v; see --help\n", p.Name, err)
		return ExitUsage
	}
	if err := p.Run(ctx, line, stdout); err != nil {
		if ctx.Err() != nil {
			fmt.Fprintf(stderr, "%s: interrupted: nothing is left running, and no results were written\n", p.Name)
			return ExitInterrupted
		}
		fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
		return ExitFailed
	}
	return 0
}

// ErrHelp says that the help has been printed.
var ErrHelp = errors.New("help has been printed")

// Parse reads the arguments into the flags and returns the command line.
func (p *Program) Parse(args []string, stdout io.Writer) (line string, err error) {
	helped := false
	parser, err := kong.New(p.Flags,
		kong.Name(p.Name), kong.Description(p.Description), kong.Writers(stdout, stdout), kong.Exit(func(int) { helped = true }),
		kong.Resolvers(kong.ResolverFunc(quickDefault)), kong.ValueFormatter(help),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 110}))
	if err != nil {
		return "", fmt.Errorf("describing the flags: %w", err)
	}
	parsed, err := parser.Parse(args)
	if helped {
		return "", ErrHelp
	}
	if err != nil {
		return "", err
	}
	return p.line(parsed), nil
}

// quickDefault is the default of a flag that isn't given, with --quick.
func quickDefault(parsed *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !flag.Tag.Has("quick") {
		return nil, nil
	}
	for _, given := range parsed.Path {
		if given.Flag != nil && given.Flag.Name == "quick" {
			return flag.Tag.Get("quick"), nil
		}
	}
	return nil, nil
}

// help adds the default that --quick sets.
func help(value *kong.Value) string {
	text := kong.DefaultHelpValueFormatter(value)
	if value.Tag.Has("quick") {
		text += fmt.Sprintf(" With --quick: %s.", value.Tag.Get("quick"))
	}
	return text
}

// line is the command line that was given. Files are shown by their names alone: where they
// are on this machine doesn't belong in a report.
func (p *Program) line(parsed *kong.Context) string {
	words := []string{p.Call}
	shown := map[string]bool{}
	for _, given := range parsed.Path {
		if given.Flag == nil || given.Resolved || shown[given.Flag.Name] {
			continue
		}
		shown[given.Flag.Name] = true
		words = append(words, show(given.Flag)...)
	}
	return strings.Join(words, " ")
}

// show returns the words that set a flag to what it is.
func show(flag *kong.Flag) []string {
	if flag.IsBool() {
		return []string{"--" + flag.Name}
	}
	var values []string
	if flag.Target.Kind() == reflect.Slice {
		for i := range flag.Target.Len() {
			values = append(values, fmt.Sprint(flag.Target.Index(i).Interface()))
		}
	} else {
		values = []string{fmt.Sprint(flag.Target.Interface())}
	}
	if flag.Tag.Has("private") {
		for i, value := range values {
			values[i] = filepath.Base(value)
		}
	}
	if flag.Tag.Sep == -1 { // each has a flag of its own
		words := make([]string, len(values))
		for i, value := range values {
			words[i] = "--" + flag.Name + "=" + value
		}
		return words
	}
	return []string{"--" + flag.Name + "=" + strings.Join(values, ",")}
}
