-- name: TryFolding :one
-- Folding is for one at a time: false says that it is somebody else's turn. It
-- is given back with the transaction's end.
SELECT pg_try_advisory_xact_lock(hashtextextended('analytics:fold', 0));

-- name: SetMinutesAside :one
-- Puts some of the minutes before an instant, those of a type and day together, into slot
-- -1, which no writer counts in: folding takes a few round trips, and a writer whose row
-- it held would wait for all of them. A row that a writer is counting on in is left for
-- the next time, so that folding never waits for a writer, nor in a circle; all of them
-- are, while somebody else folds.
--
-- A row's place is valid as long as it is locked; one that was changed since this
-- statement began isn't seen here, and is left too.
WITH mine AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(hashtextextended('analytics:fold', 0)) AS granted
), taken AS (
    DELETE FROM event_counts c WHERE c.ctid = ANY(ARRAY(
        SELECT p.ctid FROM event_counts p WHERE p.bucket < @before AND p.slot >= 0 AND (SELECT m.granted FROM mine m)
        ORDER BY p.event_type, p.bucket LIMIT @row_limit FOR UPDATE OF p SKIP LOCKED
    ))
    RETURNING c.event_type, c.bucket, c.count
), aside AS (
    INSERT INTO event_counts AS a (event_type, bucket, slot, count)
    SELECT t.event_type, t.bucket, -1, sum(t.count)::bigint FROM taken t GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (event_type, bucket, slot) DO UPDATE SET count = a.count + excluded.count
)
SELECT count(*) FROM taken;

-- name: TakeMinutes :many
-- Takes some of the minutes that were set aside out of event_counts.
DELETE FROM event_counts c WHERE c.ctid = ANY(ARRAY(
    SELECT p.ctid FROM event_counts p WHERE p.bucket < @before AND p.slot < 0
    ORDER BY p.event_type, p.bucket LIMIT @row_limit FOR UPDATE
))
RETURNING c.event_type, c.bucket, c.count;

-- name: DaysOf :many
-- The packed minutes of pairs of type and day.
SELECT d.event_type, d.day, d.minutes FROM event_days d
JOIN ROWS FROM (unnest(@event_types::text[]), unnest(@days::date[])) AS w(event_type, day)
    ON d.event_type = w.event_type AND d.day = w.day;

-- name: PutDays :exec
INSERT INTO event_days AS d (event_type, day, count, quarters, minutes)
SELECT w.event_type, w.day, w.count, w.quarters, w.minutes
FROM ROWS FROM (
    unnest(@event_types::text[]), unnest(@days::date[]), unnest(@counts::bigint[]), unnest(@quarters::bytea[]), unnest(@minutes::bytea[])
) AS w(event_type, day, count, quarters, minutes)
ON CONFLICT (event_type, day) DO UPDATE SET count = excluded.count, quarters = excluded.quarters, minutes = excluded.minutes;

-- name: SetLockTimeout :exec
-- Bounds the waits for locks in the rest of the transaction, in milliseconds.
SELECT set_config('lock_timeout', @timeout::text, true);
