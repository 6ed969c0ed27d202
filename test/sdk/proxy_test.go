package sdk_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"highload.example/analytics/internal/harness"
)

// fault is what happens to one request, or to those through another, in every process of
// the driver or in one.
type fault struct {
	Request    int    `json:"request"`
	Through    int    `json:"through"`
	Process    int    `json:"process"`
	Do         string `json:"do"`
	Status     int    `json:"status"`
	Code       string `json:"code"`
	RetryAfter string `json:"retry_after"`
	Indexes    []int  `json:"indexes"`
}

// request is a POST /events as the proxy saw it.
type request struct {
	at        time.Time
	userAgent string
	gzip      bool
	bytes     int // before compression
	events    []json.RawMessage
}

// proxy stands before a server and makes faults.
type proxy struct {
	t       *testing.T
	server  *harness.Product
	faults  []fault
	network *harness.Proxy // between the driver and the proxy
	http    *http.Server
	client  *http.Client // to the server
	work    sync.WaitGroup
	ending  chan struct{} // closed at the end, for requests that hang

	// untilRetried keeps a port that refuses connections closed until the driver says that
	// the SDK has tried again.
	untilRetried bool

	mu       sync.Mutex
	count    int // of POST /events, and of those that found the port closed
	requests []request
	process  int             // the number of the driver's process
	retried  string          // the file that its step wait_retries makes
	settled  map[string]bool // ids that it was told about
}

// retriedFile is what the step wait_retries makes in the driver's working directory.
const retriedFile = "retried"

func startProxy(t *testing.T, s *harness.Product, faults []fault, untilRetried bool) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true}
	p := &proxy{
		t: t, server: s, faults: faults, untilRetried: untilRetried,
		client: &http.Client{Transport: transport, Timeout: time.Minute}, ending: make(chan struct{}),
	}
	p.http = &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: time.Minute}
	p.work.Go(func() { _ = p.http.Serve(listener) }) // its error says that it was closed
	// In this order: a port that is to open again mustn't after the network's end.
	t.Cleanup(func() {
		close(p.ending)
		p.http.Close()
		p.work.Wait()
		transport.CloseIdleConnections()
		if p.network != nil {
			p.network.Close()
		}
	})
	address, err := harness.FreeAddress("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if p.network, err = harness.NewProxy("driver to server", address, listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *proxy) url() string { return "http://" + p.network.Address() }

// faultOf returns the fault of a request, which may be none. The caller holds the lock.
func (p *proxy) faultOf(n int) fault {
	for _, f := range p.faults {
		if (n == f.Request || n > f.Request && n <= f.Through) && (f.Process == 0 || f.Process == p.process) {
			return f
		}
	}
	return fault{}
}

// refuseNext closes the port if the next request is to be refused.
func (p *proxy) refuseNext() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.faultOf(p.count+1).Do != "refuse" {
		return false
	}
	p.count++
	if err := p.network.Set(harness.RefuseNew, 0); err != nil {
		p.t.Error(err)
	}
	return true
}

// refuseTime is how long the port is closed when nothing says that the SDK has found it so.
const refuseTime = 200 * time.Millisecond

// reopen opens the port again.
func (p *proxy) reopen() {
	p.mu.Lock()
	retried := p.retried
	p.mu.Unlock()
	closed := time.Now()
	p.work.Go(func() {
		if err := harness.Poll(context.Background(), time.Minute, func(context.Context) error {
			select {
			case <-p.ending:
				return nil
			default:
			}
			if p.untilRetried {
				if _, err := os.Stat(retried); err != nil {
					return err
				}
			} else if time.Since(closed) < refuseTime {
				return errors.New("it is too early to open the port")
			}
			return p.network.Set(harness.Healthy, 0) // fails while another process has the port
		}); err != nil {
			p.t.Error(err)
		}
	})
}

func (p *proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.work.Add(1) // while Serve runs, or ran a moment ago: the test waits for both
	defer p.work.Done()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		p.reset(w)
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/events" {
		p.answer(w, p.forward(r, body))
		return
	}
	seen, err := parseRequest(r, body)
	if err != nil {
		p.t.Errorf("a request can't be read: %v", err)
		p.reset(w)
		return
	}
	p.mu.Lock()
	p.count++
	n := p.count
	p.requests = append(p.requests, seen)
	for _, e := range seen.events {
		if id := idOf(e); p.settled[id] {
			p.t.Errorf("request %d has the event %s, which was settled before", n, id)
		}
	}
	f := p.faultOf(n)
	p.mu.Unlock()
	if p.refuseNext() {
		w.Header().Set("Connection", "close")
		defer p.reopen()
	}

	switch f.Do {
	case "":
		p.settle(seen, p.answer(w, p.forward(r, body)))
	case "status":
		w.Header().Set("Content-Type", "application/problem+json")
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
		w.WriteHeader(f.Status)
		fmt.Fprintf(w, `{"type":"/problems/%s","title":"Made by the scenario","status":%d,"code":%q}`, f.Code, f.Status, f.Code)
	case "cut_request":
		p.reset(w)
	case "cut_answer":
		p.cutAnswer(w, p.forward(r, body))
	case "garbage":
		if a := p.forward(r, body); a == nil || a.status != http.StatusAccepted {
			p.t.Errorf("request %d was not accepted before its answer was garbled: %v", n, a)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "<html>Welcome to the hotel's network")
	case "hang":
		select {
		case <-r.Context().Done():
		case <-p.ending:
		}
	case "partial_retry":
		a, err := p.withhold(r, seen, f.Indexes)
		if err != nil {
			p.t.Errorf("request %d: %v", n, err)
		}
		p.settle(seen, p.answer(w, a))
	case "restart_server":
		answered := make(chan *answer, 1)
		go func() { answered <- p.forward(r, body) }()
		if err := p.server.Kill(); err != nil {
			p.t.Error(err)
		}
		p.settle(seen, p.answer(w, <-answered))
		p.work.Go(func() {
			if err := p.server.Start(context.Background()); err != nil {
				p.t.Error(err)
			}
		})
	default:
		p.t.Errorf("unknown fault %q", f.Do)
	}
}

// answer is the server's.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// forward passes a request on, and returns nil when the server doesn't answer.
func (p *proxy) forward(r *http.Request, body []byte) *answer {
	out, err := http.NewRequest(r.Method, p.server.URL+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		p.t.Error(err)
		return nil
	}
	for name, values := range r.Header {
		if name != "Connection" {
			out.Header[name] = values
		}
	}
	response, err := p.client.Do(out)
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil
	}
	return &answer{status: response.StatusCode, header: response.Header, body: text}
}

// answer passes an answer on and returns it; nil becomes a connection that is reset.
func (p *proxy) answer(w http.ResponseWriter, a *answer) *answer {
	if a == nil {
		p.reset(w)
		return nil
	}
	for name, values := range a.header {
		if name != "Connection" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(a.status)
	if _, err := w.Write(a.body); err != nil {
		return nil
	}
	return a
}

// reset ends a connection as a crash would.
func (p *proxy) reset(w http.ResponseWriter) {
	if conn, err := hijack(w); err == nil {
		conn.Close()
	}
}

// hijack takes a connection that is reset when it is closed.
func hijack(w http.ResponseWriter) (net.Conn, error) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	return conn, conn.(*net.TCPConn).SetLinger(0)
}

// cutAnswer sends the first half of an answer.
func (p *proxy) cutAnswer(w http.ResponseWriter, a *answer) {
	if a == nil || a.status != http.StatusAccepted {
		p.t.Errorf("a request was not accepted before its answer was cut: %v", a)
	}
	conn, err := hijack(w)
	if err != nil || a == nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 %d Accepted\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", a.status, len(a.body), a.body[:len(a.body)/2])
}

// withhold passes on all events but some, and writes a receipt that says retry for these.
func (p *proxy) withhold(r *http.Request, seen request, indexes []int) (*answer, error) {
	var lines bytes.Buffer
	var passed []int // the place in the batch of each event that is passed on
	for i, e := range seen.events {
		if !slices.Contains(indexes, i) {
			lines.Write(e)
			lines.WriteByte('\n')
			passed = append(passed, i)
		}
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	r.Header.Del("Content-Encoding")
	a := p.forward(r, lines.Bytes())
	if a == nil || a.status != http.StatusAccepted {
		return a, fmt.Errorf("the server doesn't take the events that are passed on: %v", a)
	}
	var receipt receipt
	if err := json.Unmarshal(a.body, &receipt); err != nil {
		return nil, err
	}
	for i := range receipt.Results {
		receipt.Results[i].Index = passed[receipt.Results[i].Index]
	}
	for _, i := range indexes {
		if i >= len(seen.events) {
			return nil, fmt.Errorf("the batch has %d events, no event %d", len(seen.events), i)
		}
		receipt.Retry++
		receipt.Results = append(receipt.Results, result{Index: i, EventID: idOf(seen.events[i]), Status: "retry"})
	}
	slices.SortFunc(receipt.Results, func(a, b result) int { return a.Index - b.Index })
	body, err := json.Marshal(receipt)
	if err != nil {
		return nil, err
	}
	a.body = body
	a.header.Set("Content-Length", fmt.Sprint(len(body)))
	a.header.Set("Retry-After", "1")
	return a, nil
}

// receipt is the contract's BatchReceipt.
type receipt struct {
	Received  int      `json:"received"`
	Duplicate int      `json:"duplicate"`
	Rejected  int      `json:"rejected"`
	Retry     int      `json:"retry"`
	Results   []result `json:"results"`
}

type result struct {
	Index   int             `json:"index"`
	EventID string          `json:"event_id,omitempty"`
	Status  string          `json:"status"`
	Errors  json.RawMessage `json:"errors,omitempty"`
}

// settle notes what the driver's process knows now, and must not send again.
func (p *proxy) settle(seen request, a *answer) {
	if a == nil || a.status != http.StatusAccepted {
		return
	}
	var receipt receipt
	if err := json.Unmarshal(a.body, &receipt); err != nil {
		p.t.Errorf("the server's receipt can't be read: %v", err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	again := map[int]bool{}
	for _, r := range receipt.Results {
		again[r.Index] = r.Status == "retry"
	}
	for i, e := range seen.events {
		if !again[i] {
			p.settled[idOf(e)] = true
		}
	}
}

// startProcess says that a process of the driver starts in a directory, and knows nothing.
func (p *proxy) startProcess(dir string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.process++
	p.retried = filepath.Join(dir, retriedFile)
	p.settled = map[string]bool{}
}

// seen returns the requests.
func (p *proxy) seen() []request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// parseRequest reads the body of POST /events, as JSON lines, an array, or an object with the array.
func parseRequest(r *http.Request, body []byte) (request, error) {
	seen := request{at: time.Now(), userAgent: r.UserAgent(), gzip: r.Header.Get("Content-Encoding") == "gzip"}
	if seen.gzip {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return seen, err
		}
		if body, err = io.ReadAll(z); err != nil {
			return seen, err
		}
	}
	seen.bytes = len(body)
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch {
	case media == "application/x-ndjson":
		for line := range bytes.Lines(body) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				seen.events = append(seen.events, line)
			}
		}
	case media != "application/json":
		return seen, fmt.Errorf("its Content-Type is %q", media)
	case bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")):
		return seen, json.Unmarshal(body, &seen.events)
	default:
		var object struct {
			Events *[]json.RawMessage `json:"events"`
		}
		object.Events = &seen.events
		return seen, json.Unmarshal(body, &object)
	}
	return seen, nil
}

func idOf(event json.RawMessage) string {
	var e struct {
		ID string `json:"event_id"`
	}
	_ = json.Unmarshal(event, &e) // the server says what is wrong with it
	return e.ID
}
