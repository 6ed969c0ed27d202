-- name: SetHorizon :exec
UPDATE count_horizon SET minutes_since = sqlc.arg(before) WHERE minutes_since < sqlc.arg(before);

-- name: NthUnfolded :one
-- The n-th, from 0, of the minutes before an instant that are no quarter hour's
-- first, in the order of the primary key.
SELECT bucket, event_type FROM event_counts WHERE bucket < sqlc.arg(before) AND bucket % 900 <> 0
ORDER BY bucket, event_type LIMIT 1 OFFSET sqlc.arg(n);

-- name: FoldMinutes :exec
-- Adds the minutes up to a row to the first of their quarter hours. The remainder
-- of a time before 1970 is negative.
INSERT INTO event_counts (event_type, bucket, count)
SELECT m.event_type, m.bucket - (m.bucket % 900 + 900) % 900, sum(m.count) FROM event_counts m
WHERE m.bucket % 900 <> 0 AND m.bucket <= sqlc.arg(bucket) AND (m.bucket < sqlc.arg(bucket) OR m.event_type <= sqlc.arg(event_type))
GROUP BY 1, 2
ON CONFLICT (bucket, event_type) DO UPDATE SET count = event_counts.count + excluded.count;

-- name: DropMinutes :execrows
-- Deletes what FoldMinutes added.
DELETE FROM event_counts
WHERE bucket % 900 <> 0 AND bucket <= sqlc.arg(bucket) AND (bucket < sqlc.arg(bucket) OR event_type <= sqlc.arg(event_type));
