-- name: AddCounts :exec
-- Adds to many counts at once: an array of [event type, bucket, count].
INSERT INTO event_counts (event_type, bucket, count)
SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(sqlc.arg(counts)) WHERE true
ON CONFLICT (bucket, event_type) DO UPDATE SET count = event_counts.count + excluded.count;

-- name: AddTotals :many
-- Adds to many totals at once: an array of [event type, count].
INSERT INTO event_totals (event_type, count)
SELECT value ->> 0, value ->> 1 FROM json_each(sqlc.arg(totals)) WHERE true
ON CONFLICT (event_type) DO UPDATE SET count = event_totals.count + excluded.count
RETURNING event_type, count;

-- name: TotalsOfTypes :many
SELECT event_type, count FROM event_totals WHERE event_type IN (sqlc.slice('event_types')) ORDER BY event_type;

-- name: TypesAfter :many
-- Pages through the event types in order.
SELECT event_type FROM event_totals WHERE event_type > sqlc.arg(after) ORDER BY event_type LIMIT sqlc.arg(page_size);

-- name: RankedTypes :many
-- Types by their counts, the most frequent first, behind a count and type. A type is a
-- range of texts from its prefix on.
SELECT event_type, count FROM event_totals
WHERE event_type >= sqlc.arg(prefix) AND event_type < sqlc.arg(prefix_end)
    AND (count < sqlc.arg(after_count) OR (count = sqlc.arg(after_count) AND event_type > sqlc.arg(after_type)))
ORDER BY count DESC, event_type LIMIT sqlc.arg(page_size);

-- name: NewCountsOfAll :many
-- New minutes; see event_days for the others. Both are read in one transaction.
SELECT event_type, bucket, count FROM event_counts WHERE bucket >= sqlc.arg(first_edge) AND bucket < sqlc.arg(last_edge);

-- name: NewCountsOfType :many
SELECT bucket, count FROM event_counts
WHERE bucket >= sqlc.arg(first_edge) AND bucket < sqlc.arg(last_edge) AND event_type = sqlc.arg(event_type);

-- name: DaysOfType :many
SELECT day, count, quarters FROM event_days
WHERE event_type = sqlc.arg(event_type) AND day >= sqlc.arg(first_day) AND day <= sqlc.arg(last_day);

-- name: DaysOfAll :many
SELECT event_type, day, count, quarters FROM event_days WHERE day >= sqlc.arg(first_day) AND day <= sqlc.arg(last_day);
