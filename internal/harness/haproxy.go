package harness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// HAProxy is the load balancer with the shipped configuration.
type HAProxy struct {
	URL string

	process *Process
}

// HAProxyConfig says what it balances between.
type HAProxyConfig struct {
	Root    string // the repository's: the configuration is its deploy/haproxy.cfg
	Port    int    // of every replica
	DNS     string // host:port of the DNS server that knows the replicas' addresses
	LogFile string // see ProcessConfig
}

// haproxyTimeout bounds a start that hangs.
const haproxyTimeout = 60 * time.Second

// StartHAProxy starts HAProxy and returns when it accepts connections: it may not know any
// replica yet. A port that was free can be taken before HAProxy binds it: then another
// is tried.
func StartHAProxy(ctx context.Context, c HAProxyConfig) (*HAProxy, error) {
	program, err := FindHAProxy()
	if err != nil {
		return nil, err
	}
	configuration := filepath.Join(c.Root, "deploy", "haproxy.cfg")
	environment := func(listen string) []string {
		return []string{"API_HOST=api", "API_PORT=" + strconv.Itoa(c.Port), "DNS_SERVER=" + c.DNS, "LISTEN=" + listen}
	}
	check := exec.CommandContext(ctx, program, "-c", "-f", configuration) //nolint:gosec // the program that we found
	check.Env = environment("127.0.0.1:1")
	if out, err := check.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("haproxy refuses its configuration: %w\n%s", err, out)
	}
	for range startTimes {
		var listen string
		if listen, err = FreeAddress("127.0.0.1"); err != nil {
			return nil, err
		}
		h := &HAProxy{URL: "http://" + listen}
		if h.process, err = StartProcess(ProcessConfig{
			Name: "HAProxy", Program: program, Args: []string{"-db", "-f", configuration}, Env: environment(listen), LogFile: c.LogFile,
		}); err != nil {
			return nil, err
		}
		err = Poll(ctx, haproxyTimeout, func(ctx context.Context) error {
			if err := h.process.Died(); err != nil {
				return Permanent(err)
			}
			_, _, err := Request(ctx, http.MethodGet, h.URL+"/")
			return err
		})
		if err == nil {
			return h, nil
		}
		err = errors.Join(err, h.process.Kill())
	}
	return nil, err
}

// FindHAProxy returns the program's path.
func FindHAProxy() (string, error) {
	for _, name := range []string{"haproxy", "/usr/sbin/haproxy"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("HAProxy is %w: run scripts/test-deps.sh haproxy", ErrNotInstalled)
}

// AwaitTraffic waits until GET /readyz gets through to a replica.
func (h *HAProxy) AwaitTraffic(ctx context.Context) error {
	return Poll(ctx, haproxyTimeout, func(ctx context.Context) error {
		if err := h.process.Died(); err != nil {
			return Permanent(err)
		}
		status, body, err := Request(ctx, http.MethodGet, h.URL+"/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("the load balancer answers %d %s", status, body)
		}
		return err
	})
}

// Log returns the end of what it printed.
func (h *HAProxy) Log() string { return h.process.LogTail() }

// Close ends it. That it had ended before is an error.
func (h *HAProxy) Close(ctx context.Context) error {
	if !h.process.Running() {
		return h.process.Died()
	}
	h.process.ExpectEnd()
	if err := h.process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if _, err := h.process.AwaitEnd(context.WithoutCancel(ctx), StopTimeout); err != nil { // its exit code is the signal's
		return errors.Join(err, h.process.Kill())
	}
	return nil
}
