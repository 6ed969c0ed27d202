-- name: TryFolding :one
-- Folding is for one at a time: false says that it is somebody else's turn. It
-- is given back with the transaction's end.
SELECT pg_try_advisory_xact_lock(hashtextextended('analytics:fold', 0));

-- name: TakeMinutes :many
-- Takes some of the minutes before an instant out of event_counts, those of a type and day
-- together. A row that a writer is counting on in is left for the next time, so
-- that folding never waits for a writer, nor in a circle.
--
-- A row's place is valid as long as it is locked; one that was changed since this
-- statement began isn't seen here, and is left too.
DELETE FROM event_counts c WHERE c.ctid = ANY(ARRAY(
    SELECT p.ctid FROM event_counts p WHERE p.bucket < @before
    ORDER BY p.event_type, p.bucket LIMIT @row_limit FOR UPDATE SKIP LOCKED
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
