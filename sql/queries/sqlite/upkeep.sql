-- name: SetHorizon :exec
UPDATE count_horizon SET minutes_since = sqlc.arg(before) WHERE minutes_since < sqlc.arg(before);

-- name: OldestUnfolded :one
-- The oldest minute before an instant that is no quarter hour's first.
SELECT bucket FROM event_counts WHERE bucket < sqlc.arg(before) AND bucket % 900 <> 0 ORDER BY bucket LIMIT 1;

-- name: FoldQuarter :exec
-- Adds the minutes of the quarter hour that begins then to its first.
INSERT INTO event_counts (event_type, bucket, count)
SELECT m.event_type, CAST(sqlc.arg(quarter) AS INTEGER), sum(m.count) FROM event_counts m
WHERE m.bucket > sqlc.arg(quarter) AND m.bucket < sqlc.arg(quarter) + 900 GROUP BY m.event_type
ON CONFLICT (bucket, event_type) DO UPDATE SET count = event_counts.count + excluded.count;

-- name: DropMinutes :execrows
-- Deletes the minutes of the quarter hour that begins then, but for its first.
DELETE FROM event_counts WHERE bucket > sqlc.arg(quarter) AND bucket < sqlc.arg(quarter) + 900;
