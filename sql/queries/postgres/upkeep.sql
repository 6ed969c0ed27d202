-- name: FoldCounts :one
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(hashtextextended('analytics:folding', 0)) AS mine
), horizon AS (
    UPDATE fold_state SET folded_before = @before::timestamptz
    WHERE folded_before < @before::timestamptz AND (SELECT t.mine FROM turn t)
), taken AS (
    DELETE FROM event_counts d WHERE d.ctid = ANY(ARRAY(
        SELECT c.ctid FROM event_counts c
        WHERE c.slot >= 0 AND c.bucket < @before::timestamptz AND (SELECT t.mine FROM turn t)
        ORDER BY c.bucket LIMIT @piece::integer
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING d.event_type, d.bucket, d.count
), folded AS (
    INSERT INTO event_counts AS q (event_type, bucket, slot, count)
    SELECT t.event_type, date_bin('15 minutes', t.bucket, '2000-01-01 00:00:00+00'), -1, sum(t.count)
    FROM taken t GROUP BY 1, 2
    ON CONFLICT (event_type, bucket, slot) DO UPDATE SET count = q.count + excluded.count
)
SELECT count(*) FROM taken;
