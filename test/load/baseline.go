package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
)

// serveBaselineEnv makes this program the baseline server, which is another process of it.
const serveBaselineEnv = "LOAD_SERVE_BASELINE"

// receipt is the product's response to an event.
const receipt = `{"status":"received"}`

// baselineMain serves the baseline until SIGINT and returns the exit code.
func baselineMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := serveBaseline(ctx, os.Getenv("ADDR"), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load: the baseline server:", err)
		return 1
	}
	return 0
}

// serveBaseline is the least that a server on net/http can do with an event: read it
// and respond with 202. Like the product it prints its address, and responds to GET /readyz.
func serveBaseline(ctx context.Context, address string, output io.Writer) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				return // ready
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, receipt) // the client is gone
		}),
	}
	fmt.Fprintf(output, "API http://%s\n", listener.Addr())
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	if err := server.Close(); err != nil {
		return fmt.Errorf("closing: %w", err)
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}
