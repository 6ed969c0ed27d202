package stand

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// balancer is HAProxy with the shipped configuration.
type balancer struct {
	process *process
	url     string
}

const balancerTimeout = 30 * time.Second

// startBalancer starts HAProxy in front of whom the name server names, all on one port,
// and waits until it has found them.
func startBalancer(ctx context.Context, root, log, port, dns string) (*balancer, error) {
	program, err := exec.LookPath("haproxy")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/haproxy"); err != nil {
			return nil, fmt.Errorf("haproxy is not installed: run scripts/test-deps.sh haproxy: %w", err)
		}
	}
	listen, err := freeAddress("127.0.0.1")
	if err != nil {
		return nil, err
	}
	env := []string{"API_HOST=api", "API_PORT=" + port, "DNS_SERVER=" + dns, "LISTEN=" + listen}
	p, err := startProcess("haproxy", log, env, program, "-db", "-f", filepath.Join(root, "deploy", "haproxy.cfg"))
	if err != nil {
		return nil, err
	}
	b := &balancer{process: p, url: "http://" + listen}
	return b, b.awaitTraffic(ctx)
}

// awaitTraffic waits until a request gets through.
func (b *balancer) awaitTraffic(ctx context.Context) error {
	return poll(ctx, balancerTimeout, func(ctx context.Context) error {
		if !b.process.running() {
			return fmt.Errorf("haproxy ended, and said:\n%s", b.process.lastWords())
		}
		status, body, err := ask(ctx, http.MethodGet, b.url+"/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("the balancer answers %d %s", status, body)
		}
		return err
	})
}

func (b *balancer) close(ctx context.Context) error {
	if !b.process.running() {
		return fmt.Errorf("haproxy ended by itself, and said:\n%s", b.process.lastWords())
	}
	b.process.expect()
	if err := b.process.signal(syscall.SIGTERM); err != nil {
		return err
	}
	_, err := b.process.awaitEnd(context.WithoutCancel(ctx), stopTimeout)
	return err
}
