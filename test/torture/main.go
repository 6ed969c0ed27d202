// Command torture proves the product under fire: it runs it under traffic while a seeded
// adversary breaks it and whatever it leans on, and then holds what is stored and counted
// against a recorded history.
//
// `go run . -help` explains the flags.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/torture/nemesis"
)

// The exit codes besides 0.
const (
	exitFailed      = 1 // a promise was broken, or the run itself
	exitUsage       = 2
	exitInterrupted = 130
)

// options are what the command line says.
type options struct {
	mode     string
	seed     uint64
	duration time.Duration
	faults   string
	out      string
	rate     float64
	binary   string
	list     bool

	root       string // of the repository
	smallDisks bool
}

// The modes.
const (
	modeFleet    = "fleet"
	modeEmbedded = "embedded"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func parseOptions(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("torture", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.mode, "mode", modeFleet, "`what` to do: "+strings.Join(modes(), ", "))
	flags.Uint64Var(&o.seed, "seed", 1, "decides the faults and the traffic; the same seed gives the same faults in the same order")
	flags.DurationVar(&o.duration, "duration", 10*time.Minute, "how long things are broken")
	flags.StringVar(&o.faults, "faults", "", "only faults whose names `begin` so, separated by commas, or the one behaviour of clients; empty: all")
	flags.BoolVar(&o.list, "list", false, "list the faults of the mode, and do nothing")
	flags.StringVar(&o.out, "out", "results", "`directory` for the history, the report and what the processes said")
	flags.Float64Var(&o.rate, "rate", 300, "requests a second of all clients together")
	flags.StringVar(&o.binary, "binary", "", "a `program` built with -tags failpoint; empty: it is built")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	fail := func(format string, values ...any) (*options, error) {
		err := fmt.Errorf(format, values...)
		fmt.Fprintln(stderr, "torture:", err)
		return nil, err
	}
	if flags.NArg() > 0 {
		return fail("%q is no flag; see -help", flags.Arg(0))
	}
	if runners[o.mode] == nil {
		return fail("-mode %s: there are %s", o.mode, strings.Join(modes(), ", "))
	}
	if o.duration <= 0 || o.rate <= 0 {
		return fail("-duration and -rate must be more than 0")
	}
	var err error
	if o.out, err = filepath.Abs(o.out); err != nil {
		return fail("-out: %w", err)
	}
	o.smallDisks = os.Geteuid() == 0
	return o, nil
}

// command runs the program and returns its exit code.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	}
	if o.list {
		for _, f := range nemesis.Faults(o.mode == modeEmbedded, o.smallDisks) {
			fmt.Fprintln(stdout, f.Name)
		}
		return 0
	}
	if o.smallDisks && os.Getenv(inside) == "" {
		return again(ctx, args, stdout, stderr)
	}
	if o.root, err = harness.Root(); err == nil {
		err = runners[o.mode](ctx, o, stdout)
	}
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "torture: interrupted: nothing is left running")
		return exitInterrupted
	}
	fmt.Fprintln(stderr, "torture:", err)
	return exitFailed
}

// inside says to this program that it runs in mounts of its own.
const inside = "TORTURE_INSIDE"

// again runs this program in mounts of its own, so that the small disks go with it,
// however it ends.
func again(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(stderr, "torture: finding this program:", err)
		return exitFailed
	}
	child := exec.CommandContext(ctx, self, args...) //nolint:gosec // ourselves
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, stdout, stderr
	child.Env = append(os.Environ(), inside+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM, Setpgid: true}
	child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
	child.WaitDelay = 2 * time.Minute // it has servers to stop
	if err := child.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() > 0 {
			return exit.ExitCode()
		}
		fmt.Fprintln(stderr, "torture:", err)
		return exitFailed
	}
	return 0
}
