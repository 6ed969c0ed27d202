package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// bareCommand is the subcommand that serves the yardstick.
const bareCommand = "bare"

// receipt is what the product answers to an event.
const receipt = `{"status":"received"}`

// serveBare is the least that a server on net/http can do with an event: read it
// and answer 202. It ends with the context.
func serveBare(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: load bare ADDRESS (this program calls it itself)")
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", args[0])
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, receipt) // the client is gone: nobody to tell
		}),
	}
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
