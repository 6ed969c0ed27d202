-- name: AddCount :exec
INSERT INTO event_counts (event_type, bucket, count) VALUES (?, ?, ?)
ON CONFLICT (event_type, bucket) DO UPDATE SET count = event_counts.count + excluded.count;

-- name: AddTotal :one
INSERT INTO event_totals (event_type, count) VALUES (?, ?)
ON CONFLICT (event_type) DO UPDATE SET count = event_totals.count + excluded.count
RETURNING count;

-- name: TotalsOfTypes :many
SELECT event_type, count FROM event_totals WHERE event_type IN (sqlc.slice('event_types')) ORDER BY event_type;

-- name: TypesAfter :many
-- Pages through the event types in order.
SELECT event_type FROM event_totals WHERE event_type > sqlc.arg(after) ORDER BY event_type LIMIT sqlc.arg(page_size);
