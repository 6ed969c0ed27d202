package scaleout_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"highload.example/analytics/impl/testkit"
	"highload.example/analytics/test/fleet"
	"highload.example/analytics/test/fleet/fleettest"
)

// TestReplicaContention has eight replicas count the same three types, and get the same
// batches at the same time, in opposite orders. One is killed, another stops in order, both
// come back.
func TestReplicaContention(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	f := fleettest.Open(t, fleet.Config{
		Replicas: 8,
		Env:      []string{"PG_URL=" + database, "REDIS_URL=" + testkit.StartRedis(t).URL(), "PG_MAX_CONNS=6", "QUERY_CONCURRENCY=1", "SHUTDOWN_DELAY=0s"},
	})
	traffic := startTraffic(t, f, "login", "purchase", "view")
	traffic.Await()

	const batches, size = 20, 200
	client := fleettest.Client(t)
	for b := range batches {
		var events []string
		var numbers []int64
		for i := range size {
			number := 1<<40 + int64(b*size+i)
			events = append(events, fmt.Sprintf(`{"user_id":%d,"event_type":"login","timestamp":%d,"event_id":%q,"payload":{"n":%d}}`,
				i%7+1, 1_690_000_000+i%300, eventID(1+b, i), number))
			numbers = append(numbers, number)
		}
		var senders sync.WaitGroup
		for i, r := range f.Replicas {
			ordered := events
			if i%2 == 1 {
				ordered = slices.Clone(events)
				slices.Reverse(ordered)
			}
			senders.Go(func() {
				response, err := client.Post(r.URL+"/events", "application/json", strings.NewReader("["+strings.Join(ordered, ",")+"]"))
				if err != nil {
					t.Error(err)
					return
				}
				defer response.Body.Close()
				text, err := io.ReadAll(response.Body)
				if err != nil || response.StatusCode != http.StatusAccepted || !strings.Contains(string(text), `"rejected":0,"retry":0`) {
					t.Errorf("%s %.300s %v", response.Status, text, err)
				}
			})
		}
		senders.Wait()
		traffic.Record("login", numbers...) // once, however many replicas said that they are stored
	}

	killed, stopped := f.Replicas[0], f.Replicas[1]
	fleettest.Must(t, killed.Kill())
	fleettest.Must(t, stopped.Terminate(t.Context()))
	traffic.Await()
	fleettest.Must(t, killed.Start(t.Context()))
	fleettest.Must(t, stopped.Start(t.Context()))
	traffic.Await()
	traffic.Check(database)
	traffic.ExpectResponses("POST without response", "GET without response")
	if owners := value(t, database, "SELECT count(DISTINCT owner)::text || ' in ' || count(DISTINCT slot) FROM writer_slots WHERE expires_at > now()"); owners == "0 in 0" {
		t.Error("no replica owns a slot")
	}
}
