package clients_test

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"highload.example/analytics/impl/app"
	"highload.example/analytics/impl/testkit"
	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/torture/clients"
)

func TestMain(m *testing.M) {
	testkit.MainAsProgram(m, func() int { return app.Main("test", os.Args[1:], os.Stdout, os.Stderr) })
}

// product starts the embedded product, with short time-outs. It must log no error.
func product(t *testing.T) harness.Target {
	t.Helper()
	var p *harness.Product
	t.Cleanup(func() { // after its end
		if p == nil {
			return // it didn't start
		}
		if log := p.Process().Stderr(); log != "" {
			t.Errorf("the server wrote:\n%s", log)
		}
	})
	p = testkit.StartProduct(t, harness.ProductConfig{Env: []string{
		"DATA_DIR=" + filepath.Join(t.TempDir(), "data"), "RATE_LIMIT=0", "BODY_TIMEOUT=2s", "LOG_LEVEL=ERROR",
	}})
	return p.Target()
}

// Names of behaviours that tests ask for.
var all = []string{
	"slow headers", "slow bodies", "never reading", "idle connections", "resets in the middle of a body",
	"hanging up before the answer", "requests behind an error", "gzip bombs", "header floods",
}

func config(server harness.Target, behaviour string) clients.Config {
	return clients.Config{
		Server: server, Seed: 1, Only: behaviour, Connections: 1000,
		Stretch: 3 * time.Second, Baseline: time.Second, Rate: 50, BodyTimeout: 2 * time.Second,
		// Tests share the machine.
		Patience: time.Minute, Bounds: clients.Bounds{P50Extra: 2 * time.Second, P99Extra: 10 * time.Second, Return: time.Minute},
	}
}

func TestProductHolds(t *testing.T) {
	t.Parallel()
	for _, name := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			turns, err := clients.Run(t.Context(), config(product(t), name))
			if err != nil {
				t.Fatal(err)
			}
			t.Log(turns[0])
			if len(turns[0].Violations) > 0 {
				t.Errorf("%q", turns[0].Violations)
			}
			if turns[0].Attempts == 0 {
				t.Error("no client misbehaved")
			}
		})
	}
}

func TestUnknownBehaviour(t *testing.T) {
	t.Parallel()
	if _, err := clients.Run(t.Context(), config(harness.Target{URL: "http://127.0.0.1:1"}, "politeness")); err == nil {
		t.Error("a behaviour that there isn't was run")
	}
}

// Servers that are broken on purpose are caught.

func TestBrokenServersAreCaught(t *testing.T) {
	t.Parallel()
	accept := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
	}
	var leaked atomic.Int64
	var turnstile sync.Mutex
	for _, broken := range []struct {
		behaviour, want string
		url             func(t *testing.T) string
	}{
		{"slow headers", "a header that came byte by byte was awaited for", serve(accept, nil)},
		{"slow bodies", "a body that came byte by byte was awaited for", serve(accept, nil)},
		{"gzip bombs", "a gzip bomb was answered 202", serve(func(w http.ResponseWriter, r *http.Request) {
			if unpacked, err := gzip.NewReader(r.Body); err == nil {
				_, _ = io.Copy(io.Discard, unpacked)
			}
			accept(w, r)
		}, nil)},
		{"resets in the middle of a body", "goroutines", serve(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				leaked.Add(10)
			}
			accept(w, r)
		}, &leaked)},
		{"slow bodies", "the others' median latency", serve(func(w http.ResponseWriter, r *http.Request) {
			turnstile.Lock() // held while a body comes
			defer turnstile.Unlock()
			accept(w, r)
		}, nil)},
		{"header floods", "a flood of headers was answered 200", serveRaw(func(conn net.Conn) {
			reader := bufio.NewReader(conn)
			const flood = "GET /stats/flood"
			if start, err := reader.Peek(len(flood)); err != nil || string(start) != flood {
				answerAll(conn, reader)
				return
			}
			buffer := make([]byte, 64<<10) // filled, whatever it holds
			if _, err := io.ReadFull(reader, buffer); err == nil {
				fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})},
		{"requests behind an error", "was taken for a request and accepted", serveRaw(func(conn net.Conn) {
			answerAll(conn, bufio.NewReader(conn))
		})},
	} {
		t.Run(broken.want, func(t *testing.T) {
			t.Parallel()
			c := config(harness.Target{Name: "broken", URL: broken.url(t), PID: os.Getpid()}, broken.behaviour)
			c.BodyTimeout, c.HeaderTimeout, c.Patience, c.Grace = time.Second, time.Second, time.Millisecond, 5*time.Second
			c.Bounds = clients.Bounds{P50Extra: 500 * time.Millisecond, Return: time.Second}
			turns, err := clients.Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(turns[0])
			if !slices.ContainsFunc(turns[0].Violations, func(v string) bool { return strings.Contains(v, broken.want) }) {
				t.Errorf("not caught: %s", turns[0])
			}
		})
	}
}

// serve is a server without any limit that says how many goroutines it has.
func serve(handler http.HandlerFunc, more *atomic.Int64) func(t *testing.T) string {
	return func(t *testing.T) string {
		mux := http.NewServeMux()
		mux.HandleFunc("/", handler)
		mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
			n := int64(10)
			if more != nil {
				n += more.Load()
			}
			fmt.Fprintf(w, "go_goroutines %d\n", n)
		})
		server := httptest.NewServer(mux)
		t.Cleanup(server.Close)
		return server.URL
	}
}

// answerAll answers requests like a server that accepts what begins as JSON does, says how
// many goroutines it has, and leaves other bodies where they are: it takes them for requests.
func answerAll(conn net.Conn, reader *bufio.Reader) {
	for {
		for b, err := reader.Peek(1); err == nil && (b[0] == '\r' || b[0] == '\n'); b, err = reader.Peek(1) {
			_, _ = reader.Discard(1)
		}
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		status, body := "400 Bad Request", ""
		if r.URL.Path == "/metrics" {
			status, body = "200 OK", "go_goroutines 10\n"
		} else if b, err := reader.Peek(min(1, int(r.ContentLength))); err == nil && string(b) == "{" {
			_, _ = io.Copy(io.Discard, r.Body)
			status = "202 Accepted"
		}
		fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
		if r.Close {
			return
		}
	}
}

// serveRaw is a server that does what it likes with a connection.
func serveRaw(handle func(net.Conn)) func(t *testing.T) string {
	return func(t *testing.T) string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var conns sync.WaitGroup
		conns.Go(func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				stop := make(chan struct{})
				conns.Go(func() {
					defer close(stop)
					defer conn.Close()
					handle(conn)
				})
				conns.Go(func() {
					select {
					case <-stop:
					case <-t.Context().Done():
						conn.Close()
					}
				})
			}
		})
		t.Cleanup(func() {
			listener.Close()
			conns.Wait()
		})
		return "http://" + listener.Addr().String()
	}
}
