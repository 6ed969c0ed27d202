package postgres_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"highload.example/analytics/impl/backend/backendtest"
	"highload.example/analytics/impl/backend/postgres"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/ingest"
	"highload.example/analytics/impl/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// testStore looks into the database with connections of its own.
type testStore struct {
	*postgres.Store
	backendtest.PostgresView
}

// open opens a store. Unless a test is about a time-out, it has the patience that a
// busy machine needs.
func open(t testing.TB, c postgres.Config) testStore {
	t.Helper()
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 10*time.Second) // goodbyes are known by having more than that
	c.StatementTimeout = cmp.Or(c.StatementTimeout, patience)
	c.QuestionTimeout = cmp.Or(c.QuestionTimeout, patience)
	s, err := postgres.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	db, err := pgxpool.New(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		db.Close()
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return testStore{Store: s, PostgresView: backendtest.PostgresView{DB: db}}
}

func (s testStore) exec(t testing.TB, sql string) {
	t.Helper()
	if _, err := s.DB.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// value returns the one value that a query gives, as text.
func (s testStore) value(t testing.TB, sql string, args ...any) string {
	t.Helper()
	var text string
	if err := s.DB.QueryRow(t.Context(), sql, args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

func openWriter(t testing.TB, s ingest.Store) ingest.Writer {
	t.Helper()
	w, err := s.OpenWriter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// login returns the n-th event of user 1.
func login(n int) event.Event {
	e := event.Event{UserID: 1, OccurredAt: 1690000000 + int64(n), Type: "login"}
	e.ID[0] = 1
	return e
}

func logins(from, n int) []event.Event {
	batch := make([]event.Event, n)
	for i := range batch {
		batch[i] = login(from + i)
	}
	return batch
}

func write(ctx context.Context, w ingest.Writer, batch ...event.Event) ([]event.Outcome, []event.Total, error) {
	outcomes := make([]event.Outcome, len(batch))
	totals, err := w.Write(ctx, batch, outcomes)
	return outcomes, totals, err
}

// mustWrite stores a batch of new events.
func mustWrite(t testing.TB, w ingest.Writer, batch ...event.Event) []event.Total {
	t.Helper()
	outcomes, totals, err := write(t.Context(), w, batch...)
	if err != nil {
		t.Fatal(err)
	}
	wantAll(t, outcomes, event.Accepted)
	return totals
}

func wantAll(t testing.TB, outcomes []event.Outcome, want event.Outcome) {
	t.Helper()
	for i, o := range outcomes {
		if o != want {
			t.Fatalf("event %d of %d: %v, want %v", i, len(outcomes), o, want)
		}
	}
}

// wantUnavailable writes a batch that can't be stored now.
func wantUnavailable(t testing.TB, w ingest.Writer, batch ...event.Event) {
	t.Helper()
	_, _, err := write(t.Context(), w, batch...)
	if !errors.Is(err, event.ErrUnavailable) {
		t.Fatalf("Write: %v, want ErrUnavailable", err)
	}
	t.Log(err)
}

// wantRows checks how many events there are, and that every count says so.
func wantRows(t testing.TB, s testStore, n int) {
	t.Helper()
	rows, err := s.Rows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	counts, err := s.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	counted, sum := int64(0), int64(0)
	for _, c := range counts {
		counted += c
	}
	types, err := s.Types(t.Context(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	totals, err := s.Totals(t.Context(), types)
	if err != nil {
		t.Fatal(err)
	}
	for _, total := range totals {
		sum += total.Count
	}
	if len(rows) != n || counted != int64(n) || sum != int64(n) {
		t.Errorf("%d rows, %d counted, %d in totals; want %d", len(rows), counted, sum, n)
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	backendtest.Store(t, func(t *testing.T) backendtest.TestStore {
		return open(t, postgres.Config{URL: testkit.Postgres(t), MaxConns: 4})
	})
}

func TestUpkeep(t *testing.T) {
	t.Parallel()
	backendtest.Upkeep(t, func(t *testing.T) backendtest.KeptStore {
		return open(t, postgres.Config{URL: testkit.Postgres(t), MaxConns: 10})
	})
}

func BenchmarkWrite(b *testing.B) {
	backendtest.BenchmarkWrite(b, open(b, postgres.Config{URL: testkit.Postgres(b)}))
}

func TestOpenDoesNotWait(t *testing.T) {
	t.Parallel()
	s, err := postgres.Open(t.Context(), postgres.Config{URL: "postgres://nobody@127.0.0.1:1/none"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, event.ErrUnavailable) || errors.Is(err, postgres.ErrLogin) {
		t.Errorf("Ping: %v", err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Ping(t.Context()); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("Ping after Close: %v", err)
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Config{URL: testkit.Postgres(t)})
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if stat := s.Stat(); stat.Max != 10 || stat.Acquired < 1 || stat.InUse != 0 {
		t.Errorf("Stat: %+v", stat)
	}
}

// Of several hosts the one that is there and accepts writes is used.
func TestSeveralHosts(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(testkit.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = "127.0.0.1:1," + u.Host
	s, err := postgres.Open(t.Context(), postgres.Config{URL: u.String()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustWrite(t, openWriter(t, s), login(0))
	// Questions too: their sessions don't write, but the host must be one that could.
	types, err := s.RankedTypes(t.Context(), "", nil, 10)
	if err != nil || len(types) != 1 {
		t.Errorf("RankedTypes: %v, %v", types, err)
	}
}

func TestLoginIsRefused(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Config{URL: testkit.Postgres(t)})
	cfg := s.Pool().Config().ConnConfig
	none := open(t, postgres.Config{URL: fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=no_such_database sslmode=disable",
		cfg.Host, cfg.Port, cfg.User, cfg.Password)})
	err := none.Ping(t.Context())
	if !errors.Is(err, postgres.ErrLogin) || !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("Ping of a database that isn't there: %v", err)
	}
	t.Log(err)
}

func TestInstallationID(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Config{URL: testkit.Postgres(t)})
	id, err := s.InstallationID(t.Context())
	if err != nil || len(id) != 36 || id == (event.ID{}).String() {
		t.Errorf("InstallationID: %q, %v", id, err)
	}
	if want := s.value(t, `SELECT id::text FROM installation`); id != want {
		t.Errorf("InstallationID: %q, want %q", id, want)
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t)
	admin := open(t, postgres.Config{URL: url})
	name := admin.value(t, `SELECT current_database()`)
	for _, setting := range []string{"synchronous_commit = off", "timezone = 'Asia/Kolkata'"} {
		admin.exec(t, "ALTER DATABASE "+pgx.Identifier{name}.Sanitize()+" SET "+setting)
	}
	s := open(t, postgres.Config{URL: url, StatementTimeout: 1500 * time.Millisecond})
	for setting, want := range map[string]string{
		"synchronous_commit": "on", "timezone": "UTC", "application_name": "analytics", "statement_timeout": "1500ms",
	} {
		var got string
		if err := s.Pool().QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	// Another choice that is as durable stays.
	admin.exec(t, "ALTER DATABASE "+pgx.Identifier{name}.Sanitize()+" SET synchronous_commit = remote_write")
	var got string
	other := open(t, postgres.Config{URL: url})
	if err := other.Pool().QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&got); err != nil || got != "remote_write" {
		t.Errorf("synchronous_commit is %q, %v", got, err)
	}
}

// What only PostgreSQL can't store.
func TestPoison(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Config{URL: testkit.Postgres(t)})
	w := openWriter(t, s)
	for _, change := range []func(e *event.Event){
		func(e *event.Event) { e.Payload = []byte(`{"nul":"\u0000"}`) },
		func(e *event.Event) { e.Payload = []byte(`{"half":"\ud800"}`) },
		func(e *event.Event) { e.Payload = []byte(`{"number":1e1000000}`) },
		func(e *event.Event) { e.Payload = []byte("{\"utf8\":\"\xff\"}") },
		func(e *event.Event) { e.Type = "nul\x00" },
		func(e *event.Event) { e.Type = randomText(9000) }, // too long for an index
	} {
		batch := logins(0, 5)
		change(&batch[3])
		_, _, err := write(t.Context(), w, batch...)
		if !errors.Is(err, event.ErrInvalid) {
			t.Errorf("Write: %v, want ErrInvalid", err)
		}
		t.Log(err)
	}
	wantRows(t, s, 0)
	mustWrite(t, w, logins(0, 5)...)
}

// Numbers keep the digits they were sent with.
func TestDigits(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Config{URL: testkit.Postgres(t)})
	e := login(0)
	e.Payload = []byte(`{"n":[9007199254740993,0.1000,-0.0,123456789012345678901234567890.10]}`)
	mustWrite(t, openWriter(t, s), e)
	if got := s.value(t, `SELECT payload->>'n' FROM events`); got != "[9007199254740993, 0.1000, 0.0, 123456789012345678901234567890.10]" {
		t.Errorf("stored %s", got)
	}
}
