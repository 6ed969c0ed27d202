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
