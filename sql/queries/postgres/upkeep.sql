-- name: FoldCounts :one
-- Folds minutes before an instant, the oldest first and at most so many rows,
-- into quarter hours. It is one statement, so that every other statement sees the
-- rows before or after, which add up to the same. One at a time does it: busy says
-- that it is somebody else. A row that a writer is counting on in is left for the
-- next time, so that folding never waits for a writer, nor in a circle.
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(hashtextextended('analytics:fold', 0)) AS mine
), horizon AS (
    UPDATE count_horizon h SET minutes_since = @before
    WHERE h.minutes_since < @before AND (SELECT t.mine FROM turn t)
), gone AS (
    -- A row's place is valid as long as it is locked; one that was changed since this
    -- statement began isn't seen here, and is left too.
    DELETE FROM event_counts c WHERE c.ctid = ANY(ARRAY(
        SELECT p.ctid FROM event_counts p
        WHERE p.slot >= 0 AND p.bucket < @before AND (SELECT t.mine FROM turn t)
        ORDER BY p.bucket LIMIT @row_limit FOR UPDATE SKIP LOCKED
    ))
    RETURNING c.event_type, c.bucket, c.count
), folded AS (
    INSERT INTO event_counts AS f (event_type, bucket, slot, count)
    SELECT g.event_type, date_bin('15 minutes', g.bucket, '2000-01-01 00:00:00+00'), -1, sum(g.count)
    FROM gone g GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (event_type, bucket, slot) DO UPDATE SET count = f.count + excluded.count
)
SELECT NOT (SELECT t.mine FROM turn t) AS busy, count(*) AS row_count FROM gone;

-- name: SetLockTimeout :exec
-- Bounds the waits for locks in the rest of the transaction, in milliseconds.
SELECT set_config('lock_timeout', @timeout::text, true);
