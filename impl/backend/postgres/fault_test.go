package postgres_test

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"highload.example/analytics/impl/backend/postgres"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ingest"
	"highload.example/analytics/impl/testkit"
)

// patience is how long a test waits for what should come at once. It ends a test
// that hangs.
const patience = time.Minute

// untilStored writes a batch again and again, as the batcher does.
func untilStored(t *testing.T, w ingest.Writer, batch ...event.Event) []event.Outcome {
	t.Helper()
	var outcomes []event.Outcome
	testkit.Eventually(t, patience, "the batch to be stored", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), patience/4)
		defer cancel()
		var err error
		outcomes, _, err = write(ctx, w, batch...)
		if err != nil && !errors.Is(err, event.ErrUnavailable) {
			t.Fatalf("Write: %v", err)
		}
		return err == nil
	})
	return outcomes
}

func privateServer(t *testing.T, c postgres.Config) (*testkit.Server, testStore, ingest.Writer) {
	t.Helper()
	server := testkit.StartPostgres(t)
	if err := postgres.Migrate(t.Context(), server.URL(), nil); err != nil {
		t.Fatal(err)
	}
	c.URL = server.URL()
	s := open(t, c)
	w := openWriter(t, s)
	return server, s, w
}

func TestServerIsKilledAndComesBack(t *testing.T) {
	t.Parallel()
	server, s, w := privateServer(t, postgres.Config{MaxConns: 2})
	mustWrite(t, w, logins(0, 10)...)

	server.Kill()
	for range 3 {
		wantUnavailable(t, w, logins(10, 10)...)
	}
	if _, err := s.Totals(t.Context(), []string{"login"}); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("Totals: %v", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("Ping: %v", err)
	}

	server.Start()
	wantAll(t, untilStored(t, w, logins(10, 10)...), event.Accepted)
	outcomes, _, err := write(t.Context(), w, logins(0, 20)...)
	if err != nil {
		t.Fatal(err)
	}
	wantAll(t, outcomes, event.Duplicate)
	wantRows(t, s, 20)
}

func TestServerHangs(t *testing.T) {
	t.Parallel()
	server, s, w := privateServer(t, postgres.Config{MaxConns: 2, ConnectTimeout: time.Second})
	mustWrite(t, w, logins(0, 10)...)

	server.Pause()
	for range 3 { // also when every connection has been given up
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, _, err := write(ctx, w, logins(10, 10)...)
		cancel()
		if !errors.Is(err, event.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Write: %v", err)
		}
		// The driver would wait 15 s for the server to say goodbye.
		if took := time.Since(begin); took > 15*time.Second {
			t.Errorf("Write with 200 ms to do it took %v", took)
		}
	}
	server.Resume()
	untilStored(t, w, logins(10, 10)...)
	wantRows(t, s, 20)
}

func TestConnectionIsCut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cut  way
		want event.Outcome // of the same batch, written again
	}{
		"before the statement arrives":                {toServer, event.Accepted},
		"after the commit, before the answer arrives": {toClient, event.Duplicate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, url := newProxy(t, testkit.Postgres(t), "cut here")
			s := open(t, postgres.Config{URL: url})
			w := openWriter(t, s)
			mustWrite(t, w, logins(0, 10)...)

			batch := logins(10, 10)
			batch[0].Payload = []byte(`{"mark":"cut here"}`)
			p.cut.Store(int32(c.cut))
			wantUnavailable(t, w, batch...)
			if p.cuts.Load() != 1 {
				t.Fatalf("%d connections were cut", p.cuts.Load())
			}
			p.cut.Store(int32(wayNone))

			// The server may still be at it; then the insert waits for it.
			wantAll(t, untilStored(t, w, batch...), c.want)
			wantRows(t, s, 20)
		})
	}
}

// occupy has so many of a store's connections wait, until ctx ends, for a table that another
// store has locked, or the same one. Each sends its answer.
func occupy(ctx context.Context, t *testing.T, locker, s testStore, connections int32) (answers <-chan error, unlock func()) {
	t.Helper()
	tx, err := locker.DB.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE installation"); err != nil {
		t.Fatal(err)
	}
	all := make(chan error, connections)
	for range connections {
		go func() {
			_, err := s.InstallationID(ctx)
			all <- err
		}()
	}
	testkit.Eventually(t, patience, "all to wait for the table", func() bool { return s.Stat().InUse >= connections })
	return all, func() {
		t.Helper()
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHalfOpenConnections: when all connections are dead without a sign of it, one probe is
// lost, and not one for each of them.
func TestHalfOpenConnections(t *testing.T) {
	t.Parallel()
	p, url := newProxy(t, testkit.Postgres(t), "unmarked")
	s := open(t, postgres.Config{URL: url, MaxConns: 6})
	w := openWriter(t, s)
	mustWrite(t, w, logins(0, 10)...)
	const waiting = 4 // each on a connection of its own
	answers, unlock := occupy(t.Context(), t, s, s, waiting)
	unlock()
	for range waiting {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
	p.dead.Store(p.accepted.Load())
	defer p.bury()
	probe := func(timeout time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		return s.Probe(ctx)
	}
	if err := probe(200 * time.Millisecond); !errors.Is(err, event.ErrUnavailable) {
		t.Fatalf("the first probe: %v", err)
	}
	if err := probe(patience); err != nil { // how soon: TestHalfOpenConnectionsCostOneProbe
		t.Fatalf("the second probe: %v", err)
	}
	wantAll(t, untilStored(t, w, logins(10, 10)...), event.Accepted)
}

// TestGivenUpInAnOutage: connections that were given up while nothing came through hold no
// places when it does again, though nobody ever hangs up on them.
func TestGivenUpInAnOutage(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	p, url := newProxy(t, database, "unmarked")
	s := open(t, postgres.Config{URL: url, MaxConns: 6})
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	waiting := s.Stat().Max // all there are
	answers, unlock := occupy(ctx, t, open(t, postgres.Config{URL: database}), s, waiting)
	p.dead.Store(math.MaxInt32)
	giveUp()
	for range waiting {
		if err := <-answers; err == nil {
			t.Error("a statement that was given up was answered")
		}
	}
	unlock()
	p.dead.Store(p.accepted.Load())
	defer p.bury()
	probing, cancel := context.WithTimeout(t.Context(), patience) // how soon: TestGoodbyesInAnOutageAreShort
	defer cancel()
	if err := s.Probe(probing); err != nil {
		t.Fatal(err)
	}
}

func TestSessionIsTerminated(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Config{URL: testkit.Postgres(t), MaxConns: 1})
	w := openWriter(t, s)
	mustWrite(t, w, logins(0, 10)...)
	s.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'analytics' AND pid <> pg_backend_pid()`)
	wantAll(t, untilStored(t, w, logins(10, 10)...), event.Accepted)
	wantRows(t, s, 20)
}

// After a failover the sessions on the old primary can't write any more, and
// never will.
func TestReadOnlySessionsAreReplaced(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t)
	admin := open(t, postgres.Config{URL: url})
	database := pgx.Identifier{admin.value(t, `SELECT current_database()`)}.Sanitize()
	s := open(t, postgres.Config{URL: url, MaxConns: 2})

	admin.exec(t, "ALTER DATABASE "+database+" SET default_transaction_read_only = on")
	if err := s.Ping(t.Context()); err != nil { // opens a session that is read-only for good
		t.Fatal(err)
	}
	_, err := s.OpenWriter(t.Context())
	if !errors.Is(err, event.ErrUnavailable) || !strings.Contains(err.Error(), "read-only") {
		t.Fatalf("OpenWriter: %v", err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "SET default_transaction_read_only = off"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "ALTER DATABASE "+database+" RESET default_transaction_read_only"); err != nil {
		t.Fatal(err)
	}
	var w ingest.Writer
	testkit.Eventually(t, patience, "a session that can write", func() bool {
		w, err = s.OpenWriter(t.Context())
		return err == nil
	})
	mustWrite(t, w, login(1))
}

func TestStatementTakesTooLong(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t)
	s := open(t, postgres.Config{URL: url})
	mustWrite(t, openWriter(t, s), login(0))
	w := openWriter(t, open(t, postgres.Config{URL: url, StatementTimeout: time.Second}))
	tx, err := s.DB.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE events IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	wantUnavailable(t, w, login(1))
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantAll(t, untilStored(t, w, login(1)), event.Accepted)
	wantRows(t, s, 2)
}

// The server reports what goes wrong in a commit after the statement's rows.
func TestCommitFails(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Config{URL: testkit.Postgres(t)})
	w := openWriter(t, s)
	mustWrite(t, w, login(0))
	s.exec(t, `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$`)
	s.exec(t, `CREATE CONSTRAINT TRIGGER fail AFTER INSERT OR UPDATE ON event_totals
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()`)
	for range 7 { // more often than the server plans a statement anew
		wantUnavailable(t, w, logins(1, 3)...)
	}
	s.exec(t, `DROP TRIGGER fail ON event_totals`)
	wantRows(t, s, 1)
	mustWrite(t, w, logins(1, 3)...)
	wantRows(t, s, 4)
}

func TestDefectsAreNeitherInvalidNorUnavailable(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Config{URL: testkit.Postgres(t)})
	w := openWriter(t, s)
	s.exec(t, `ALTER TABLE event_totals RENAME TO elsewhere`)
	_, _, err := write(t.Context(), w, login(0))
	if err == nil || errors.Is(err, event.ErrInvalid) || errors.Is(err, event.ErrUnavailable) {
		t.Errorf("Write without a table: %v", err)
	}
	if !strings.Contains(err.Error(), "event_totals") {
		t.Errorf("the error doesn't name the table: %v", err)
	}
}

// Two writers that share a slot, which a lost lease can bring about, still
// count right.
func TestSharedSlot(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Config{URL: testkit.Postgres(t)})
	first := openWriter(t, s)
	mustWrite(t, first, login(0))
	s.exec(t, `UPDATE writer_slots SET expires_at = now() - interval '1 hour'`)
	second := openWriter(t, s)
	errs := make(chan error, 2)
	for i, w := range []ingest.Writer{first, second} {
		go func() {
			for n := range 50 {
				batch := logins(1+1000*(i+1)+20*n, 20)
				for k := range batch {
					batch[k].Type = []string{"a", "b", "c", "d"}[(k+i)%4]
				}
				if _, _, err := write(t.Context(), w, batch...); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	if err := errors.Join(<-errs, <-errs); err != nil {
		t.Fatal(err)
	}
	if slots := s.value(t, `SELECT count(DISTINCT slot)::text FROM event_totals`); slots != "1" {
		t.Errorf("%s slots: the writers don't share one", slots)
	}
	wantRows(t, s, 2001)
}

// A commit that waits for a synchronous standby can be given up. The row is there from
// then on, and would be lost in a failover: nobody must be told that it is safe.
func TestDuplicatesWaitForTheStandby(t *testing.T) {
	t.Parallel()
	_, s, w := privateServer(t, postgres.Config{MaxConns: 2})
	mustWrite(t, w, login(0))
	// givenUp writes an event, and gives up when its commit waits for a standby.
	// It returns nil when the commit didn't.
	givenUp := func(e event.Event) error {
		ctx, giveUp := context.WithCancel(t.Context())
		defer giveUp()
		done := make(chan error, 1)
		go func() {
			_, _, err := write(ctx, w, e)
			done <- err
		}()
		testkit.Eventually(t, patience, "an answer, or the wait for a standby", func() bool {
			return len(done) > 0 || s.value(t, `SELECT count(*)::text FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event = 'SyncRep' AND query LIKE '%InsertEvents%'`) != "0"
		})
		giveUp()
		return <-done
	}

	// The server heeds the setting a moment later: from the first commit that hangs.
	s.exec(t, `ALTER SYSTEM SET synchronous_standby_names = 'nobody'`)
	s.exec(t, `SELECT pg_reload_conf()`)
	n := 0
	testkit.Eventually(t, patience, "commits to wait for a standby", func() bool {
		n++
		err := givenUp(login(n))
		if err != nil && !errors.Is(err, event.ErrUnavailable) {
			t.Fatal(err)
		}
		return err != nil
	})
	testkit.Eventually(t, patience, "the row to be there all the same", func() bool {
		return s.value(t, `SELECT count(*)::text FROM events`) == strconv.Itoa(n+1)
	})
	if err := givenUp(login(n)); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("a duplicate without the standby: %v", err)
	}

	s.exec(t, `ALTER SYSTEM RESET synchronous_standby_names`)
	s.exec(t, `SELECT pg_reload_conf()`)
	wantAll(t, untilStored(t, w, logins(0, n+1)...), event.Duplicate)
	wantRows(t, s, n+1)
}
