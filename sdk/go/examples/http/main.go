// Command http is a web application that records each request to its handlers as an event.
//
//	go run ./examples/http -analytics http://localhost:8000
//	curl -H 'X-User: 42' http://localhost:8080/books/7
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	analytics "highload.example/analytics/sdk/go"
)

func main() {
	url := flag.String("analytics", "http://localhost:8000", "where the analytics server is")
	listen := flag.String("listen", "localhost:8080", "where this application listens")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *url, *listen); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url, listen string) (err error) {
	client, err := analytics.New(analytics.Options{URL: url})
	if err != nil {
		return err
	}
	server := &http.Server{Addr: listen, Handler: record(client, routes()), ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		// First no more requests, then no more events.
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		stopped <- errors.Join(server.Shutdown(end), client.Close(end))
	}()
	slog.Info("listening", "address", "http://"+listen)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return errors.Join(err, client.Close(ctx))
	}
	return <-stopped
}

func routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /books/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintln(w, "book", id)
	})
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
	})
	return mux
}

// request is an event's payload.
type request struct {
	Handler string  `json:"handler"`
	Method  string  `json:"method"`
	Status  int     `json:"status"`
	Millis  float64 `json:"ms"`
}

// record makes an event of each request that a handler of the mux served. It costs the request about a
// microsecond, and nothing more when the analytics server is away.
func record(client *analytics.Client, mux http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		mux.ServeHTTP(answer, r)
		user, err := userOf(r)
		if err != nil || r.Pattern == "" { // nobody's, or no handler's
			return
		}
		// The error says that the event was dropped; the client counts and logs that by itself.
		_ = client.Track(r.Context(), analytics.Event{UserID: user, Type: "http.request", Payload: request{
			Handler: r.Pattern, Method: r.Method, Status: answer.status, Millis: float64(time.Since(began).Microseconds()) / 1000,
		}})
	})
}

// userOf stands for the application's sessions.
func userOf(r *http.Request) (int64, error) { return strconv.ParseInt(r.Header.Get("X-User"), 10, 64) }

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers the status that it sends.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController find the writer inside.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
