-- name: OldMinutes :many
-- Minutes before an instant, the oldest first.
SELECT event_type, bucket, count FROM event_counts WHERE bucket < sqlc.arg(before)
ORDER BY bucket, event_type LIMIT sqlc.arg(row_limit);

-- name: DropMinutes :exec
-- Deletes what OldMinutes returned, up to its last row.
DELETE FROM event_counts
WHERE bucket <= sqlc.arg(bucket) AND (bucket < sqlc.arg(bucket) OR event_type <= sqlc.arg(event_type));

-- name: DayOf :one
SELECT minutes FROM event_days WHERE event_type = sqlc.arg(event_type) AND day = sqlc.arg(day);

-- name: PutDay :exec
INSERT INTO event_days (event_type, day, count, quarters, minutes) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (event_type, day) DO UPDATE SET count = excluded.count, quarters = excluded.quarters, minutes = excluded.minutes;
