//go:build scaleout

package scaleout_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"highload.example/analytics/impl/testkit"
)

// Eight replicas count the same three types, and are sent the same batches at the same
// time, in opposite orders. One is killed, another stops in order, both come back.
func TestEightReplicasContend(t *testing.T) {
	t.Parallel()
	pg := testkit.Postgres(t)
	f := startFleet(t, 8, "PG_URL="+pg, "REDIS_URL="+testkit.StartRedis(t).URL(), "PG_MAX_CONNS=6", "QUERY_CONCURRENCY=1", "SHUTDOWN_DELAY=0s")
	tr := f.start("login", "purchase", "view")
	tr.flows()

	const batches, size = 20, 200
	for b := range batches {
		var events []string
		for i := range size {
			events = append(events, fmt.Sprintf(`{"user_id":%d,"event_type":"login","timestamp":%d,"event_id":%q}`, i%7+1, 1_690_000_000+i%300, id(1000+b, i)))
		}
		var senders sync.WaitGroup
		for r := range f.replicas {
			body := "[" + strings.Join(events, ",") + "]"
			if r%2 == 1 {
				opposite := slices.Clone(events)
				slices.Reverse(opposite)
				body = "[" + strings.Join(opposite, ",") + "]"
			}
			senders.Go(func() {
				response, err := f.client.Post(f.replicas[r].url+"/events", "application/json", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				defer response.Body.Close()
				text, _ := io.ReadAll(response.Body)
				if response.StatusCode != http.StatusAccepted || !strings.Contains(string(text), `"rejected":0,"retry":0`) {
					t.Errorf("%s %.300s", response.Status, text)
				}
			})
		}
		senders.Wait()
		tr.sent[0].Add(size) // once, however many were told that it is stored
	}

	killed, stopped := f.replicas[0], f.replicas[1]
	killed.kill(t)
	if err := stopped.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-stopped.ended
	if code := stopped.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("a replica that was told to stop exited with %d", code)
	}
	tr.flows()
	killed.killed.Store(false)
	for _, r := range []*replica{killed, stopped} {
		r.start(t)
		f.awaitReady(r)
	}
	tr.flows()
	tr.end(pg)
	tr.only("202", "no answer")
	if owners := value(t, pg, "SELECT count(DISTINCT owner)::text || ' in ' || count(DISTINCT slot) FROM writer_slots WHERE expires_at > now()"); owners == "0 in 0" {
		t.Error("nobody owns a slot")
	}
}
