package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"highload.example/analytics/gen/pgdb"
	"highload.example/analytics/impl/event"
	"highload.example/analytics/impl/query"
)

var (
	_ query.Counter = (*Store)(nil)
	_ query.Reader  = (*Store)(nil)
)

// questions have connections of their own: however many are asked, events are stored.
type questions struct {
	pool    *pgxpool.Pool
	queries *pgdb.Queries
}

// questionConfig is that of the store with what questions need.
func questionConfig(store *pgxpool.Config, c Config) *pgxpool.Config {
	cfg := store.Copy()
	cfg.MaxConns, cfg.MinConns, cfg.MinIdleConns = c.QuestionConns, 0, 0
	params := cfg.ConnConfig.RuntimeParams
	params["statement_timeout"] = milliseconds(c.QuestionTimeout)
	// No two questions have the same best plan: one type has half of the events and
	// another none. And most are over before a compiler would have begun.
	params["plan_cache_mode"] = "force_custom_plan"
	params["jit"] = "off"
	cfg.AfterConnect = onlyRead
	return cfg
}

// onlyRead has the session refuse to write. It comes after the connection was found to
// be one that takes writes, as several hosts are told apart: a parameter of the
// connection itself would have each of them refused.
func onlyRead(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SET default_transaction_read_only = on", pgx.QueryExecModeSimpleProtocol)
	return err
}

// translateQuestion is translate, for reading: what takes too long is too expensive.
func (s *Store) translateQuestion(ctx context.Context, doing string, err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && ctx.Err() == nil {
		switch pg.Code {
		case codeQueryCanceled:
			return fmt.Errorf("%w: the database worked on it for too long; ask about a shorter range, fewer types or fewer groups", query.ErrTooExpensive)
		case codeLimit:
			return fmt.Errorf("%w: it needs more temporary space than the database gives; ask about a shorter range, or group by less", query.ErrTooExpensive)
		}
	}
	return s.translate(ctx, doing, err)
}

// codeLimit is what a file that outgrows temp_file_limit gets.
const codeLimit = "53400"

// ReadsAllTypes implements query.Reader: there is an index by type.
func (s *Store) ReadsAllTypes() bool { return false }

// Aggregate implements query.Reader.
func (s *Store) Aggregate(ctx context.Context, a *query.Aggregation) (*query.Table, error) {
	const doing = "answer a question"
	statement := aggregate(a)
	rows, err := s.questions.pool.Query(ctx, statement.text.String(), statement.args...)
	if err != nil {
		return nil, s.translateQuestion(ctx, doing, err)
	}
	table, err := readTable(a, rows)
	if err != nil {
		return nil, s.translateQuestion(ctx, doing, err)
	}
	return table, nil
}

// readTable puts the rows of an aggregation's statement together.
func readTable(a *query.Aggregation, rows pgx.Rows) (*query.Table, error) {
	cells := 0
	if a.Edges != nil {
		cells = len(a.Edges) - 1
	}
	groups := map[int64]*query.Group{}
	place := func(n int64) *query.Group {
		g := groups[n]
		if g == nil {
			g = &query.Group{Cells: make([]query.Number, cells)}
			if a.Edges == nil {
				g.Cells = nil
			}
			for i := range g.Cells {
				g.Cells[i] = query.NumberOfNone(a.Metric)
			}
			groups[n] = g
		}
		return g
	}
	table := &query.Table{}
	const others = 0 // no group's place
	var part, bucket int32
	var at int64
	var keys [query.MaxGroupBy]*string
	var text *string
	var count *int64
	_, err := pgx.ForEachRow(rows, []any{&part, &at, &bucket, &keys[0], &keys[1], &keys[2], &text, &count}, func() error {
		number := query.None
		if text != nil {
			var err error
			if number, err = query.ParseNumber(*text); err != nil {
				return err
			}
		}
		if count != nil {
			number = query.Quotient(number, *count)
		}
		var err error
		switch part {
		case 0:
			g := place(at)
			g.Number = number
			g.Key, err = readKey(a.GroupBy, keys)
		case 1:
			place(at).Cells[bucket] = number
		case 2:
			place(others).Number, table.OtherGroups = number, at
		case 3:
			place(others).Cells[bucket] = number
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	table.Other = groups[others]
	for i := int64(1); groups[i] != nil; i++ {
		table.Groups = append(table.Groups, *groups[i])
	}
	return table, nil
}

// readKey reads a key's columns.
func readKey(fields []query.Field, texts [query.MaxGroupBy]*string) ([]query.Value, error) {
	key := make([]query.Value, len(fields))
	for i, f := range fields {
		if texts[i] == nil {
			continue // null
		}
		var err error
		switch f.Kind {
		case query.TypeField:
			key[i] = query.StringValue(*texts[i])
		case query.UserField:
			n, parseErr := strconv.ParseInt(*texts[i], 10, 64)
			key[i], err = query.IntValue(n), parseErr
		default:
			key[i], err = query.ParseValue([]byte(*texts[i]))
		}
		if err != nil {
			return nil, err
		}
	}
	return key, nil
}

// collected is up to how many events a scan brings into order by itself, in 48 bytes
// each: that is quicker than the database's sort, which has to wait for the last of them
// and spills to disk from a tenth of this on.
const collected = 500_000

const followUsers = "follow users"

// ScanSteps implements query.Reader.
func (s *Store) ScanSteps(ctx context.Context, scan *query.StepScan, yield func(*query.StepEvent) error) error {
	if len(scan.GroupBy) == 0 && scan.Events <= collected {
		return s.collectSteps(ctx, scan, yield)
	}
	statement := scanSteps(scan, true)
	rows, err := s.questions.pool.Query(ctx, statement.text.String(), statement.args...)
	if err != nil {
		return s.translateQuestion(ctx, followUsers, err)
	}
	defer rows.Close()
	var e query.StepEvent
	for rows.Next() {
		raw := rows.RawValues()
		e.UserID = int64(binary.BigEndian.Uint64(raw[0]))
		e.OccurredAt = unixSeconds(raw[1])
		e.Steps = uint16(binary.BigEndian.Uint32(raw[2]))
		e.Key = nil
		if len(scan.GroupBy) > 0 && e.Steps&1 != 0 {
			var texts [query.MaxGroupBy]*string
			for i := range scan.GroupBy {
				if raw[3+i] != nil {
					text := string(raw[3+i])
					texts[i] = &text
				}
			}
			if e.Key, err = readKey(scan.GroupBy, texts); err != nil {
				return s.translateQuestion(ctx, followUsers, err)
			}
		}
		if err := yield(&e); err != nil {
			return err
		}
	}
	return s.translateQuestion(ctx, followUsers, rows.Err())
}

// collectSteps is ScanSteps for a few events.
func (s *Store) collectSteps(ctx context.Context, scan *query.StepScan, yield func(*query.StepEvent) error) error {
	statement := scanSteps(scan, false)
	rows, err := s.questions.pool.Query(ctx, statement.text.String(), statement.args...)
	if err != nil {
		return s.translateQuestion(ctx, followUsers, err)
	}
	defer rows.Close()
	collector := query.NewCollector(scan)
	for rows.Next() {
		raw := rows.RawValues()
		err := collector.AddFitting(int64(binary.BigEndian.Uint64(raw[0])), unixSeconds(raw[1]), event.ID(raw[3]), uint16(binary.BigEndian.Uint32(raw[2])))
		if err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return s.translateQuestion(ctx, followUsers, err)
	}
	return collector.Each(yield)
}

// unixSeconds reads a timestamptz in the protocol's binary form: microseconds since 2000.
func unixSeconds(raw []byte) int64 {
	const year2000 = 946684800
	return int64(binary.BigEndian.Uint64(raw))/1_000_000 + year2000
}
