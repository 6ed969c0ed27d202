-- name: FoldCounts :one
-- Folds minutes before an instant, the oldest first and at most so many rows,
-- into quarter hours. It is one statement, so that every other statement sees the
-- rows before or after, which add up to the same. One at a time does it: busy says
-- that it is somebody else. A row that a writer is counting on in is left for the
-- next time, so that folding never waits for a writer, nor in a circle.
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(hashtextextended('analytics:fold', 0)) AS mine
), picked AS (
    SELECT c.event_type, c.bucket, c.slot FROM event_counts c
    WHERE c.slot >= 0 AND c.bucket < @before AND (SELECT t.mine FROM turn t)
    ORDER BY c.bucket LIMIT @row_limit
), locked AS MATERIALIZED (
    SELECT c.event_type, c.bucket, c.slot FROM event_counts c
    JOIN picked p ON p.event_type = c.event_type AND p.bucket = c.bucket AND p.slot = c.slot
    FOR UPDATE OF c SKIP LOCKED
), horizon AS (
    UPDATE count_horizon h SET minutes_since = @before
    WHERE h.minutes_since < @before AND (SELECT t.mine FROM turn t)
), gone AS (
    DELETE FROM event_counts c USING locked l
    WHERE c.event_type = l.event_type AND c.bucket = l.bucket AND c.slot = l.slot
    RETURNING c.event_type, c.bucket, c.count
), folded AS (
    INSERT INTO event_counts AS f (event_type, bucket, slot, count)
    SELECT g.event_type, date_bin('15 minutes', g.bucket, '2000-01-01 00:00:00+00'), -1, sum(g.count)
    FROM gone g GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (event_type, bucket, slot) DO UPDATE SET count = f.count + excluded.count
)
SELECT NOT (SELECT t.mine FROM turn t) AS busy, count(*) AS row_count FROM gone;
