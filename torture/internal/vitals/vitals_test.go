package vitals

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func TestReadsThisProcess(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("# HELP go_goroutines How many.\ngo_goroutines 17\n"))
	}))
	defer server.Close()
	p := Process{Name: "this", URL: server.URL, PID: os.Getpid()}
	before, err := p.Read(t.Context())
	if err != nil || before.Goroutines != 17 || before.RSS < 1<<20 || before.Descriptors < 3 {
		t.Fatalf("%v %v", before, err)
	}
	watch := Watch(t.Context(), p)
	if most := watch.Stop(); most.RSS < 1<<20 || most.Goroutines != 17 && most.Goroutines != 0 {
		t.Errorf("the most is %v", most)
	}
	server.Close()
	if r, err := p.Read(t.Context()); err != nil || r.Goroutines != -1 {
		t.Errorf("of one that doesn't answer: %v %v", r, err)
	}
	p.PID = 1 << 22 // above the highest there is
	if _, err := p.Read(context.Background()); err == nil {
		t.Error("a process that is gone has vitals")
	}
}

func TestParsesMetrics(t *testing.T) {
	t.Parallel()
	const text = "# TYPE a counter\na{x=\"1\"} 3\na{x=\"2\"} 4e+03\nb 5\nbc 6\n"
	got, err := parse(strings.NewReader(text), []string{"a", "b"})
	if err != nil || len(got) != 3 || got[`a{x="2"}`] != 4000 || got["b"] != 5 {
		t.Errorf("%v %v", got, err)
	}
}
