package main

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"highload.example/analytics/impl/testkit"
	"highload.example/analytics/test/fleet"
	"highload.example/analytics/test/torture/check"
	"highload.example/analytics/test/torture/history"
	"highload.example/analytics/test/torture/workload"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// TestEmbeddedSurvivesKills is the whole proof in small, for the one process with its own
// database: traffic, kill -9 again and again, and every promise checked.
func TestEmbeddedSurvivesKills(t *testing.T) {
	t.Parallel()
	const kills, between = 5, 200 // operations
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s, err := fleet.Open(ctx, fleet.Config{Logs: t.TempDir(), Embedded: true})
	defer func() {
		if err := s.Close(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "history.ndjson")
	recorder, err := history.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := workload.New(workload.Config{Targets: s.Targets, Recorder: recorder, Seed: 1, Senders: 6, Readers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()

	traffic, stop := context.WithCancel(ctx)
	quiet := make(chan struct{})
	go func() { defer close(quiet); clients.Run(traffic) }()
	defer func() { stop(); <-quiet }()
	work := func() {
		before := recorder.Recorded()
		testkit.Eventually(t, time.Minute, "traffic", func() bool { return recorder.Recorded() >= before+between })
	}
	server := s.Replicas[0]
	for range kills {
		work()
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := server.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	work()
	stop()
	<-quiet

	settling := recorder.Now()
	clients.Settle(ctx)
	atRest := clients.Survey(ctx, s.Targets[0])
	if err := recorder.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := check.Run(check.Input{History: history.Open(name), Rows: s.Rows(ctx), AtRest: atRest, Settling: settling})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range report.Violations {
		t.Error(v)
	}
	if report.Outcomes[history.Unknown] == 0 || report.Repeated == 0 {
		t.Error("no kill cost anybody an answer: nothing was proved")
	}
	t.Logf("%d kills, %d operations, %d different events, %d sent again, %v, %d rows, %d counts during the run, %d at rest",
		kills, report.Operations, report.Events, report.Repeated, report.Outcomes, report.Rows, report.ReadCounts, report.RestCounts)
}
