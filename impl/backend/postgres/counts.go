package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgtype"

	"highload.example/analytics/gen/pgdb"
	"highload.example/analytics/impl/daycounts"
	"highload.example/analytics/impl/query"
)

// RankedTypes implements query.Counter.
func (s *Store) RankedTypes(ctx context.Context, prefix string, after *query.TypeCount, limit int) ([]query.TypeCount, error) {
	params := pgdb.RankedTypesParams{Prefix: prefix, AfterCount: 1<<63 - 1, PageSize: int32(limit)}
	if after != nil {
		params.AfterCount, params.AfterType = after.Count, after.Type
	}
	found, err := s.questions.queries.RankedTypes(ctx, params)
	if err != nil {
		return nil, s.translateQuestion(ctx, "rank event types", err)
	}
	types := make([]query.TypeCount, len(found))
	for i, t := range found {
		types[i] = query.TypeCount{Type: t.EventType, Count: t.Count}
	}
	return types, nil
}

// MinuteCounts implements query.Counter.
func (s *Store) MinuteCounts(ctx context.Context, types []string, edges []int64, add func(eventType string, bucket int, count int64)) error {
	first, last := edges[0], edges[len(edges)-1]
	quarters, minutes := daycounts.Cuts(edges)
	params := pgdb.CountsOfTypesParams{
		Edges: timestamps(edges), EventTypes: types,
		FirstEdge: timestamptz(first), LastEdge: timestamptz(last),
		FirstDay: date(daycounts.Begin(first)), LastDay: date(daycounts.Begin(last - 1)),
		QuarterDays: dates(quarters), MinuteDays: dates(minutes),
	}
	var rows []pgdb.CountsOfTypesRow
	var err error
	if types != nil {
		rows, err = s.questions.queries.CountsOfTypes(ctx, params)
	} else {
		var all []pgdb.CountsOfAllRow
		all, err = s.questions.queries.CountsOfAll(ctx, pgdb.CountsOfAllParams{
			Edges: params.Edges, FirstEdge: params.FirstEdge, LastEdge: params.LastEdge, FirstDay: params.FirstDay, LastDay: params.LastDay,
			QuarterDays: params.QuarterDays, MinuteDays: params.MinuteDays,
		})
		for _, row := range all {
			rows = append(rows, pgdb.CountsOfTypesRow(row))
		}
	}
	if err != nil {
		return s.translateQuestion(ctx, "read counts", err)
	}
	for _, row := range rows {
		if row.Bucket > 0 {
			add(row.EventType, int(row.Bucket)-1, row.Count)
			continue
		}
		day := daycounts.Row{Count: row.Count, Quarters: row.Quarters, Minutes: row.Minutes}
		if err := daycounts.Spread(edges, row.Day.Time.Unix(), day, func(bucket int, n int64) { add(row.EventType, bucket, n) }); err != nil {
			return &failure{doing: "read counts", reason: err.Error(), kinds: []error{err}}
		}
	}
	return nil
}

func timestamps(unix []int64) []pgtype.Timestamptz {
	list := make([]pgtype.Timestamptz, len(unix))
	for i, t := range unix {
		list[i] = timestamptz(t)
	}
	return list
}

func dates(begins []int64) []pgtype.Date {
	list := make([]pgtype.Date, len(begins))
	for i, b := range begins {
		list[i] = date(b)
	}
	return list
}
