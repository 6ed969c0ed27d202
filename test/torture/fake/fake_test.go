package fake_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"highload.example/analytics/impl/testkit"
	"highload.example/analytics/test/torture/check"
	"highload.example/analytics/test/torture/fake"
	"highload.example/analytics/test/torture/history"
	"highload.example/analytics/test/torture/workload"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// run puts the real workload on a server at three addresses, which is killed and
// loses its Redis on the way, and has the real checker look at it. It ends when the
// server was sent so much, and asked as often.
func run(t *testing.T, fault fake.Fault, seed uint64, posts int64) *check.Report {
	t.Helper()
	const settlingRequests = 100 // a right server needs 20: one that never takes an event is asked for ever
	server := fake.New(fault, seed)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	load, endLoad := context.WithCancel(ctx)
	settling, endSettling := context.WithCancel(ctx)
	defer endSettling()
	handler := server.Handler()
	var sent, asked, again atomic.Int64
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// What is sent is the clock: whether senders or readers get the processors,
		// the same happens at the same place.
		if r.Method == http.MethodPost {
			switch sent.Add(1) {
			case posts / 4, posts / 2, posts - posts/10:
				server.Kill()
			case posts / 3:
				server.Flush()
			}
		} else {
			asked.Add(1)
		}
		if sent.Load() >= posts && asked.Load() >= posts {
			endLoad()
		}
		if load.Err() != nil && again.Add(1) == settlingRequests {
			endSettling()
		}
		handler.ServeHTTP(w, r)
	})
	var targets []string
	for range 3 {
		s := httptest.NewServer(counted)
		defer s.Close()
		targets = append(targets, s.URL)
	}
	name := filepath.Join(t.TempDir(), "history.ndjson")
	recorder, err := history.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := workload.New(workload.Config{Targets: targets, Recorder: recorder, Seed: seed, Senders: 4, Readers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()

	clients.Run(load)
	server.Heal()
	healed := recorder.Now()
	clients.Settle(settling)
	atRest := server.Redis()
	for _, target := range targets {
		atRest = append(atRest, clients.Survey(ctx, target)...)
	}
	if err := recorder.Close(); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatal("the run didn't end in five minutes")
	}
	report, err := check.Run(check.Input{History: history.Open(name), Rows: server.Rows(), AtRest: atRest, Settling: healed})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestFaultsAreCaught breaks the server in one way after the other, and wants each
// found, and found to be what it is.
func TestFaultsAreCaught(t *testing.T) {
	t.Parallel()
	for fault, c := range map[fake.Fault]struct {
		want  []check.Rule // each must be found
		maybe []check.Rule // what can follow from it
	}{
		fake.LosesOne:           {[]check.Rule{check.Lost, check.Undercounted}, []check.Rule{check.Torn}},
		fake.AnswersTooEarly:    {[]check.Rule{check.Lost, check.Undercounted}, []check.Rule{check.AcceptedTwice, check.Torn}},
		fake.StoresDuplicates:   {[]check.Rule{check.Doubled, check.Overcounted}, nil},
		fake.CountsDuplicates:   {[]check.Rule{check.Overcounted, check.CountWrong}, nil},
		fake.AcceptsTwice:       {[]check.Rule{check.AcceptedTwice}, nil},
		fake.IgnoresUser:        {[]check.Rule{check.Lost, check.Undercounted}, nil},
		fake.AltersPayloads:     {[]check.Rule{check.Altered}, nil},
		fake.DropsPayloads:      {[]check.Rule{check.Altered}, nil},
		fake.AltersTypes:        {[]check.Rule{check.Altered, check.Overcounted, check.Undercounted}, nil},
		fake.RoundsTimes:        {[]check.Rule{check.Lost, check.NeverSent}, []check.Rule{check.Undercounted, check.Overcounted, check.Torn}}, // of a batch what happened at a full minute is there
		fake.StoresRejected:     {[]check.Rule{check.RejectedStored}, []check.Rule{check.Overcounted, check.Contract}},
		fake.AcceptsInvalid:     {[]check.Rule{check.InvalidAccepted, check.Lost}, []check.Rule{check.AcceptedTwice}},
		fake.RejectsValid:       {[]check.Rule{check.ValidRejected}, []check.Rule{check.Torn}},
		fake.InventsEvents:      {[]check.Rule{check.NeverSent}, []check.Rule{check.Overcounted}},
		fake.TearsBatches:       {[]check.Rule{check.Torn}, nil},
		fake.HidesTorn:          {[]check.Rule{check.Torn}, nil},
		fake.NeverTakesSome:     {[]check.Rule{check.NotConverged}, []check.Rule{check.Torn}},
		fake.ForgetsAfterFlush:  {[]check.Rule{check.Undercounted, check.CountWrong}, nil},
		fake.ServesStaleCounts:  {[]check.Rule{check.Undercounted}, nil},
		fake.CountsRejected:     {[]check.Rule{check.Overcounted, check.CountWrong}, []check.Rule{check.Contract}},
		fake.CountsTooEarly:     {[]check.Rule{check.CountWrong}, []check.Rule{check.Overcounted}},
		fake.FoldsCase:          {[]check.Rule{check.Overcounted, check.CountWrong}, nil},
		fake.ShiftsBuckets:      {[]check.Rule{check.CountWrong}, []check.Rule{check.Overcounted, check.Undercounted}},
		fake.HidesAType:         {[]check.Rule{check.CountWrong, check.Undercounted}, nil},
		fake.LeavesRedisWrong:   {[]check.Rule{check.CountWrong}, nil},
		fake.AnswersNoQuestions: {[]check.Rule{check.Unanswered}, nil},
		fake.Answers500:         {[]check.Rule{check.ForbiddenStatus, check.Contract}, nil},
		fake.OmitsHeader:        {[]check.Rule{check.Contract}, []check.Rule{check.NotConverged}},
		fake.NamesAnotherEvent:  {[]check.Rule{check.Contract}, nil},
		fake.MiscountsReceipts:  {[]check.Rule{check.Contract}, []check.Rule{check.NotConverged}},
	} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			posts := int64(500)
			switch fault {
			case fake.LosesOne, fake.RejectsValid, fake.TearsBatches, fake.CountsTooEarly: // which are rare
				posts = 1500
			default:
			}
			report := run(t, fault, 1, posts)
			for _, rule := range c.want {
				if report.Found[rule] == 0 {
					t.Errorf("%s was not found", rule)
				}
			}
			for rule, n := range report.Found {
				if !slices.Contains(c.want, rule) && !slices.Contains(c.maybe, rule) {
					t.Errorf("%s was found %d times, and isn't what is wrong", rule, n)
				}
			}
			for _, v := range report.Violations {
				isShown(t, v)
			}
			if t.Failed() {
				t.Log(report.Found)
				for _, v := range report.Violations {
					t.Log(v)
				}
			}
		})
	}
}

// TestNothingIsFoundInARightServer has a server fail in every way in which one may.
func TestNothingIsFoundInARightServer(t *testing.T) { //nolint:tparallel // the group ends when its own have, which are parallel
	t.Parallel()
	reports := make([]*check.Report, 3) // by seed
	t.Run("seeds", func(t *testing.T) {
		for seed := range reports {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				reports[seed] = run(t, fake.None, uint64(seed), 800)
				for _, v := range reports[seed].Violations {
					t.Error(v)
				}
			})
		}
	})
	if !t.Failed() {
		hadEverything(t, reports)
	}
}

// isShown wants a violation to come with what shows it, and nothing else.
func isShown(t *testing.T, v check.Violation) {
	t.Helper()
	if len(v.History) == 0 && v.Row == nil {
		t.Errorf("nothing shows %s", v)
	}
	shown := map[string]bool{}
	for _, o := range v.History {
		if len(o.Counts) > 1 {
			t.Errorf("%d counts, and one is wrong: %s", len(o.Counts), v)
		}
		for _, e := range o.Events {
			shown[e.ID] = true
		}
	}
	switch v.Rule {
	case check.ForbiddenStatus, check.Contract: // one answer, with all that was sent
		if len(v.History) != 1 {
			t.Errorf("%d operations, and one answer is wrong: %s", len(v.History), v)
		}
	case check.Torn: // one that was stored and one that wasn't, or one answer
		if len(shown) != 2 && len(v.History) != 1 {
			t.Errorf("%d events, and two show it: %s", len(shown), v)
		}
	case check.Undercounted, check.Overcounted, check.CountWrong, check.Unanswered:
		if len(shown) > 3 {
			t.Errorf("%d events: %s", len(shown), v)
		}
	default: // one event, which it names
		if len(shown) > 1 {
			t.Errorf("%d events, and one is concerned: %s", len(shown), v)
		}
		for id := range shown {
			_, err := uuid.Parse(id) // what is no UUID has no name but in the history
			if err == nil && len(id) == len(uuid.UUID{}.String()) && !strings.Contains(v.Detail, strings.ToLower(id)) {
				t.Errorf("the event isn't named: %s", v)
			}
		}
	}
}

// hadEverything wants that runs in which nothing is wrong had whatever can go wrong.
func hadEverything(t *testing.T, reports []*check.Report) {
	t.Helper()
	var sum check.Report
	outcomes := map[history.Outcome]int64{}
	for _, r := range reports {
		sum.Repeated += r.Repeated
		sum.OpenStored += r.OpenStored
		sum.OpenUnstored += r.OpenUnstored
		sum.Rows += r.Rows
		sum.Reads += r.Reads
		sum.ReadCounts += r.ReadCounts
		sum.RestCounts += r.RestCounts
		for outcome, n := range r.Outcomes {
			outcomes[outcome] += n
		}
	}
	for _, outcome := range []history.Outcome{
		history.Accepted, history.Duplicate, history.Rejected, history.Retry, history.Refused, history.Unknown,
	} {
		if outcomes[outcome] == 0 {
			t.Errorf("no event was %s", outcome)
		}
	}
	if sum.Repeated == 0 || sum.OpenStored == 0 || sum.OpenUnstored == 0 || sum.Rows == 0 || sum.ReadCounts <= sum.Reads || sum.RestCounts == 0 {
		t.Errorf("something didn't happen: %+v", sum)
	}
	t.Logf("%v, %+v", outcomes, sum)
}
