// Package app is the composition root: it reads the command line, builds the
// deployment that the settings ask for, and starts and stops the parts in order.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"highload.example/analytics/impl/backend/postgres"
	"highload.example/analytics/impl/cli"
	"highload.example/analytics/impl/config"
	"highload.example/analytics/impl/event"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // what was asked for didn't work
	exitUsage   = 2 // it isn't clear what was asked for

	exitInterrupted = 130 // 128 and the number of SIGINT
)

const description = `Takes events over HTTP, keeps every accepted event exactly once, and counts them at once.

Without settings it is complete on its own: an embedded database in ./data. With PG_URL and REDIS_URL it is one of any number of replicas. Every setting is an environment variable and a flag; the flag wins.`

// commandLine is what may be written on the command line.
type commandLine struct {
	Serve       serveCommand       `cmd:"" default:"withargs" help:"Serve the API (the default command)."`
	Migrate     migrateCommand     `cmd:"" help:"Bring the PostgreSQL database of PG_URL to this version's schema, and exit."`
	Healthcheck healthcheckCommand `cmd:"" help:"Ask the server on this machine whether it is ready: exit code 0 or 1."`
	Version     versionCommand     `cmd:"" help:"Print the version."`

	cli.Commands
}

type (
	serveCommand struct {
		config.Settings
	}
	migrateCommand struct {
		config.Settings
	}
	healthcheckCommand struct {
		Addr    string        `env:"ADDR" default:":8000" help:"Where the server listens."`
		Timeout time.Duration `default:"3s" help:"How long to wait for its answer."`
	}
	versionCommand struct{}
)

// process is what the commands get from the operating system.
type process struct {
	version string
	stdout  io.Writer
	stderr  io.Writer
	signals <-chan os.Signal
	exit    func(code int)
}

// Main runs the command that the arguments ask for and returns the exit code.
func Main(version string, args []string, stdout, stderr io.Writer) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	p := &process{version: version, stdout: stdout, stderr: stderr, signals: signals, exit: os.Exit}

	var cl commandLine
	exited := -1
	parser, err := kong.New(&cl,
		kong.Name("analytics"), kong.Description(description), kong.UsageOnError(),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: false, WrapUpperBound: 100}))
	if err != nil {
		return p.fail(exitFailure, err)
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help has been printed
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "analytics: %v; see analytics --help\n", err)
		return exitUsage
	}
	switch parsed.Command() {
	case "migrate":
		return p.migrate(&cl.Migrate.Settings)
	case "healthcheck":
		return p.healthcheck(cl.Healthcheck)
	case "version":
		fmt.Fprintf(stdout, "analytics %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return exitOK
	case "serve":
		return p.serve(&cl.Serve.Settings)
	default:
		return p.client(parsed)
	}
}

// client runs a command for people. Interrupted, it ends as the shell expects.
func (p *process) client(parsed *kong.Context) int {
	ctx, cancel := p.interruptible()
	defer cancel()
	file, ok := p.stderr.(*os.File)
	env := &cli.Env{
		Stdin: os.Stdin, Stdout: p.stdout, Stderr: p.stderr, Now: time.Now,
		Terminal: ok && term.IsTerminal(int(file.Fd())),
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	err := parsed.Run(env)
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil:
		p.fail(exitInterrupted, fmt.Errorf("interrupted: %w", err))
		return exitInterrupted
	}
	return p.fail(exitFailure, err)
}

// fail prints an error, a line for each that is joined in it.
func (p *process) fail(code int, err error) int {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) && strings.Contains(err.Error(), "\n") {
		for _, e := range joined.Unwrap() {
			fmt.Fprintln(p.stderr, "analytics:", oneLine(e))
		}
		return code
	}
	fmt.Fprintln(p.stderr, "analytics:", oneLine(err))
	return code
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// interruptible returns a context that the first signal ends.
func (p *process) interruptible() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-p.signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (p *process) migrate(settings *config.Settings) int {
	c, err := settings.Resolve()
	if err != nil {
		return p.fail(exitFailure, err)
	}
	if c.Embedded() {
		return p.fail(exitFailure, errors.New("PG_URL: must be set: migrate is for PostgreSQL; the embedded database is brought up to date at every start"))
	}
	logger := newLogger(c, p.stderr, nil)
	ctx, cancel := p.interruptible()
	defer cancel()
	if err := waitForPostgres(ctx, c, logger); err != nil {
		return p.fail(exitFailure, err)
	}
	if err := postgres.Migrate(ctx, c.PGURL, logger); err != nil {
		return p.fail(exitFailure, err)
	}
	fmt.Fprintln(p.stdout, "The database is at this version's schema.")
	return exitOK
}

// healthcheck asks the server's readiness; container health checks call it,
// where there is no curl.
func (p *process) healthcheck(c healthcheckCommand) int {
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return p.fail(exitUsage, fmt.Errorf("ADDR: %q is not host:port", c.Addr))
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	url := "http://" + net.JoinHostPort(host, port) + "/readyz"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return p.fail(exitUsage, err)
	}
	// A proxy of the environment has nothing to do with a question to ourselves.
	client := &http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return p.fail(exitFailure, fmt.Errorf("not ready: %w", err))
	}
	body, readErr := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err := errors.Join(readErr, response.Body.Close()); err != nil {
		return p.fail(exitFailure, fmt.Errorf("not ready: %w", err))
	}
	if response.StatusCode != http.StatusOK {
		return p.fail(exitFailure, fmt.Errorf("not ready: %w: %s", event.ErrUnavailable, body))
	}
	fmt.Fprintln(p.stdout, "ready")
	return exitOK
}
