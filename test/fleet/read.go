package fleet

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite" // the driver of the embedded database

	"highload.example/analytics/internal/harness"
	"highload.example/analytics/test/torture/history"
)

// Rows yields all rows of the event store, read past the product.
func (f *Fleet) Rows(ctx context.Context) iter.Seq2[history.Row, error] {
	return func(yield func(history.Row, error) bool) {
		read := f.rowsOfSQLite
		if f.Postgres != nil {
			read = f.rowsOfPostgres
		}
		if err := read(ctx, yield); err != nil {
			yield(history.Row{}, fmt.Errorf("reading the rows: %w", err))
		}
	}
}

func (f *Fleet) rowsOfPostgres(ctx context.Context, yield func(history.Row, error) bool) (err error) {
	conn, err := f.Postgres.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	rows, err := conn.Query(ctx, "SELECT user_id, event_type, extract(epoch FROM occurred_at)::bigint, event_id::text, payload::text FROM events")
	if err != nil {
		return fmt.Errorf("asking for them: %w", err)
	}
	var (
		row     history.Row
		payload *string
	)
	_, err = pgx.ForEachRow(rows, []any{&row.UserID, &row.Type, &row.Timestamp, &row.ID, &payload}, func() error {
		row.Payload = nil
		if payload != nil {
			row.Payload = []byte(*payload)
		}
		if !yield(row, nil) {
			return errStopped
		}
		return nil
	})
	if errors.Is(err, errStopped) {
		return nil
	}
	return err
}

var errStopped = errors.New("nobody wants more rows")

func (f *Fleet) rowsOfSQLite(ctx context.Context, yield func(history.Row, error) bool) (err error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(f.DataDir, "analytics.db")+"?mode=ro")
	if err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, "SELECT user_id, event_type, occurred_at, event_id, payload FROM events")
	if err != nil {
		return fmt.Errorf("asking for them: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			row history.Row
			id  uuid.UUID
		)
		if err := rows.Scan(&row.UserID, &row.Type, &row.Timestamp, &id, &row.Payload); err != nil {
			return fmt.Errorf("reading one: %w", err)
		}
		row.ID = id.String()
		if !yield(row, nil) {
			return nil
		}
	}
	return rows.Err()
}

// Counts asks Redis for what it holds of each type. Types that it doesn't hold, or not
// completely, replicas count in the database.
func (f *Fleet) Counts(ctx context.Context, types []string) (all []history.Operation, err error) {
	if f.Redis == nil {
		return nil, nil
	}
	var namespace string
	if err := f.Postgres.Query(ctx, "SELECT id::text FROM installation", &namespace); err != nil {
		return nil, err
	}
	err = f.WithRedis(func(client *goredis.Client) error {
		for _, t := range types {
			fields, err := client.HGetAll(ctx, "analytics:"+namespace+":count:{"+t+"}").Result()
			if err != nil {
				return fmt.Errorf("asking Redis for %s: %w", t, err)
			}
			if _, complete := fields["complete"]; !complete {
				continue
			}
			delete(fields, "complete")
			var sum int64
			for slot, text := range fields {
				n, err := strconv.ParseInt(text, 10, 64)
				if err != nil {
					return fmt.Errorf("slot %s of %s in Redis: %w", slot, t, err)
				}
				sum += n
			}
			all = append(all, history.Operation{
				Kind: history.Count, Target: "Redis", EventType: t, Counts: []int64{sum}, Outcomes: []history.Outcome{history.Answered},
			})
		}
		return nil
	})
	return all, err
}

// What a replica may have open at most: PG_MAX_CONNS, and what questions have; go-redis's
// pool; and as many through the balancer as it ever had clients at once.
const (
	mostPostgres = pgMaxConns + queryConns
	mostRedis    = 16
)

// Connections says what is connected at rest that shouldn't be: more than all pools
// together may hold, or a session that has begun something and doesn't end it.
func (f *Fleet) Connections(ctx context.Context) (said string, err error) {
	if f.Postgres == nil {
		return "", nil
	}
	var sessions, open int
	for question, n := range map[string]*int{
		"SELECT count(*) FROM pg_stat_activity WHERE usename = '" + role + "'":                                                  &sessions,
		"SELECT count(*) FROM pg_stat_activity WHERE usename = '" + role + "' AND xact_start IS NOT NULL AND state <> 'active'": &open,
	} {
		if err := f.Postgres.Query(ctx, question, n); err != nil {
			return "", err
		}
	}
	clients := 0
	if err := f.WithRedis(func(client *goredis.Client) error {
		list, err := client.ClientList(ctx).Result()
		clients = strings.Count(list, "\n") - 1 // without ourselves
		return err
	}); err != nil {
		return "", fmt.Errorf("asking Redis for its clients: %w", err)
	}
	said = fmt.Sprintf("%d to PostgreSQL, %d to Redis", sessions, clients)
	if most := len(f.Replicas) * mostPostgres; sessions > most {
		err = fmt.Errorf("%d connections to PostgreSQL, and the pools hold at most %d", sessions, most)
	}
	if most := len(f.Replicas) * mostRedis; clients > most {
		err = errors.Join(err, fmt.Errorf("%d connections to Redis, and the pools hold at most %d", clients, most))
	}
	if open > 0 {
		err = errors.Join(err, fmt.Errorf("%d transactions that nobody ends", open))
	}
	return said, err
}

// Count asks a server how many events of a type there are.
func Count(ctx context.Context, target, eventType string) (n int64, err error) {
	status, body, err := harness.Request(ctx, http.MethodGet, target+"/stats/"+eventType)
	if err != nil {
		return 0, err
	}
	var answer struct {
		Count int64 `json:"count"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK {
		return 0, fmt.Errorf("%s answered %d: %.200s", target, status, body)
	}
	return answer.Count, nil
}

// WithRedis lets use have a client of Redis, past the proxies.
func (f *Fleet) WithRedis(use func(*goredis.Client) error) error {
	options, err := goredis.ParseURL(f.Redis.URL())
	if err != nil {
		return fmt.Errorf("reading Redis's URL: %w", err)
	}
	options.MaxRetries = -1
	client := goredis.NewClient(options)
	return errors.Join(use(client), client.Close())
}
