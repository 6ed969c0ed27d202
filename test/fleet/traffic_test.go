package fleet

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"highload.example/analytics/impl/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// A server that accepts everything and stores nothing is caught, and so is one that fails.
func TestTrafficCheckDetectsLoss(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	for name, c := range map[string]struct {
		status int
		repeat bool
		want   string
	}{
		"lost":         {http.StatusAccepted, false, "events were accepted, and there are 0 rows"},
		"unavailable":  {http.StatusServiceUnavailable, false, "POST /event: 503"},
		"never stored": {http.StatusBadRequest, true, "POST /event: 400"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				switch r.URL.Path {
				case "/event", "/events":
					w.WriteHeader(c.status)
					fmt.Fprintf(w, `{"received":%d}`, strings.Count(string(body), "user_id"))
				default:
					fmt.Fprint(w, `{"count":0}`)
				}
			}))
			defer server.Close()
			traffic := (&Fleet{}).StartTraffic(TrafficConfig{Client: server.Client(), Targets: []string{server.URL}, Types: []string{"a", "b"}, Repeat: c.repeat})
			_ = traffic.Await(t.Context()) // Check says the same
			if err := traffic.Check(t.Context(), database); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the check says: %v", err)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		accepted, stored []int64
		want             string
	}{
		"equal":                {[]int64{1, 2, 3}, []int64{3, 1, 2}, ""},
		"lost":                 {[]int64{1, 2, 3}, []int64{3, 1}, "the first is 2 with -1 rows"},
		"twice":                {[]int64{1, 2}, []int64{1, 2, 2}, "the first is 2 with +1 rows"},
		"one lost, one twice":  {[]int64{1, 2, 3}, []int64{3, 1, 1}, "2 events differ, the first is 1 with +1 rows"},
		"stored, not accepted": {nil, []int64{7}, "the first is 7 with +1 rows"},
	} {
		err := compare("a", c.accepted, c.stored)
		if got := fmt.Sprint(err); (err == nil) != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
