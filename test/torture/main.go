// Command torture injects faults: it runs the product under traffic while a seeded nemesis
// breaks it and what it depends on, and then compares what is stored and counted with a
// recorded history.
//
// `go run . --help` explains the flags.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

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
	Mode     string        `default:"fleet" enum:"${modes}" help:"What to do: ${enum}."`
	Seed     uint64        `default:"1" help:"Decides the faults and the traffic: the same seed gives the same faults in the same order."`
	Duration time.Duration `default:"10m" help:"How long things are broken, in the modes fleet, embedded and soak."`
	Short    bool          `help:"Inject one fault of each family and end, in the modes fleet and embedded, instead of all faults for the duration."`
	Faults   string        `placeholder:"PREFIXES" help:"Only faults whose names begin with one of these, separated by commas; of the mode clients, the one behaviour. Default: all."`
	List     bool          `help:"List the faults of the mode, and do nothing."`
	Out      string        `default:"results" type:"path" placeholder:"DIRECTORY" help:"Where the history, the report and the logs go. Default: results."`
	Rate     float64       `default:"300" help:"Requests per second of all clients together. The mode soak finds its own."`
	Binary   string        `type:"existingfile" placeholder:"PROGRAM" help:"A build of the product with -tags failpoint. Default: it is built."`

	root       string // of the repository
	smallDisks bool
}

const description = `Run the product under traffic, break it and what it depends on, and check every promise against a recorded history.

fleet: three replicas with HAProxy, PostgreSQL with a standby, Redis, and a network between them. embedded: one process with its own database. soak: a fleet at 70 % of saturation, with a picture of what the processes hold. overload: one replica, and up to ten times what it can take. clients: one replica, and clients that misbehave.`

// The modes.
const (
	modeFleet    = "fleet"
	modeEmbedded = "embedded"
	// modeSoak is the mode fleet at soakShare of saturation, with a sample of everything now
	// and then, and a picture of that.
	modeSoak     = "soak"
	modeOverload = "overload"
	modeClients  = "clients"

	modes = modeFleet + "," + modeEmbedded + "," + modeSoak + "," + modeOverload + "," + modeClients
)

// runMode does what the options ask for.
func (o *options) runMode(ctx context.Context, output io.Writer) error {
	switch o.Mode {
	case modeOverload:
		return runOverload(ctx, o, output)
	case modeClients:
		return runClients(ctx, o, output)
	default:
		return runFaults(ctx, o, output)
	}
}

// Validate is kong's.
func (o *options) Validate() error {
	switch {
	case o.Duration <= 0:
		return errors.New("--duration must be more than 0")
	case o.Rate <= 0:
		return errors.New("--rate must be more than 0")
	case o.Short && o.Mode != modeFleet && o.Mode != modeEmbedded:
		return errors.New("--short is for the modes fleet and embedded")
	}
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// parseOptions reads the flags. An exit code that isn't negative says that there is nothing
// more to do: what is to be said was printed.
func parseOptions(args []string, stdout, stderr io.Writer) (o *options, exit int) {
	o = &options{smallDisks: os.Geteuid() == 0}
	exit = -1
	parser, err := kong.New(o,
		kong.Name("torture"), kong.Description(description), kong.Vars{"modes": modes},
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { exit = code }))
	if err == nil {
		_, err = parser.Parse(args)
	}
	if err != nil && exit < 0 {
		fmt.Fprintf(stderr, "torture: %v; see torture --help\n", err)
		exit = exitUsage
	}
	return o, exit
}

// command runs the program and returns its exit code.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, exit := parseOptions(args, stdout, stderr)
	if exit >= 0 {
		return exit
	}
	if o.List {
		for _, f := range nemesis.Faults(o.Mode == modeEmbedded, o.smallDisks) {
			fmt.Fprintln(stdout, f.Name)
		}
		return 0
	}
	if o.smallDisks && os.Getenv(ownMounts) == "" {
		return rerun(ctx, args, stdout, stderr)
	}
	var err error
	if o.root, err = harness.Root(); err == nil {
		err = o.runMode(ctx, stdout)
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

// ownMounts tells this program that it runs in mounts of its own.
const ownMounts = "TORTURE_OWN_MOUNTS"

// rerun runs this program in mounts of its own: the small disks go with it, however it ends.
func rerun(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(stderr, "torture: finding this program:", err)
		return exitFailed
	}
	child := exec.CommandContext(ctx, self, args...) //nolint:gosec // ourselves
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, stdout, stderr
	child.Env = append(os.Environ(), ownMounts+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM, Setpgid: true}
	child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
	child.WaitDelay = 2 * time.Minute // it has servers to stop
	if err := child.Run(); err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) && failed.ExitCode() > 0 {
			return failed.ExitCode()
		}
		fmt.Fprintln(stderr, "torture:", err)
		return exitFailed
	}
	return 0
}
