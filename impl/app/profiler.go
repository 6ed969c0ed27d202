package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"highload.example/analytics/impl/failpoint"
)

// profiler serves Go's profiles on an address of their own: they show more than
// clients should see, and taking one costs more than clients should be able to
// cause.
type profiler struct {
	server *http.Server
	served chan struct{}
}

// startProfiler starts the profiler at addr, unless addr is empty.
func startProfiler(ctx context.Context, addr string) (*profiler, error) {
	if addr == "" {
		return nil, nil //nolint:nilnil // no profiler is wanted
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("PPROF_ADDR: can't listen on %s: %w", addr, rootCause(err))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	if failpoint.Enabled {
		mux.Handle("/failpoint/", failpoint.Handler())
	}
	p := &profiler{server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, served: make(chan struct{})}
	go func() {
		defer close(p.served)
		_ = p.server.Serve(listener) // ends with http.ErrServerClosed
	}()
	return p, nil
}

// close ends the profiler, and profiles that are being taken.
func (p *profiler) close() error {
	if p == nil {
		return nil
	}
	err := p.server.Close()
	<-p.served
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
