-- name: InsertEvents :many
-- Stores a batch and counts what was really inserted, in one statement.
-- The arrays are of equal length; equal keys must not occur twice in them.
-- Rows with an ordinal name the inputs that were stored before; rows with an
-- event type carry the new absolute total of that type in this slot.
-- A duplicate may be of a row whose commit was given up while it waited for a
-- synchronous standby: the row is there, and only on this server. Who is told
-- "duplicate" is told that it is safe, so that this commit waits too, for which it must
-- have written something: a message to nobody, once for all duplicates of a batch.
WITH input AS (
    SELECT t.user_id, t.occurred_at, t.event_id, t.event_type, t.payload, t.ordinal
    FROM ROWS FROM (
        unnest(@user_ids::bigint[]),
        unnest(@occurred_at::timestamptz[]),
        unnest(@event_ids::uuid[]),
        unnest(@event_types::text[]),
        unnest(@payloads::jsonb[])
    ) WITH ORDINALITY AS t(user_id, occurred_at, event_id, event_type, payload, ordinal)
), inserted AS (
    INSERT INTO events AS e (user_id, occurred_at, event_id, received_at, event_type, payload)
    SELECT i.user_id, i.occurred_at, i.event_id, now(), i.event_type, i.payload FROM input i
    ON CONFLICT DO NOTHING
    RETURNING e.user_id, e.occurred_at, e.event_id, e.event_type
), counted AS (
    INSERT INTO event_counts AS c (event_type, bucket, slot, count)
    SELECT n.event_type, date_trunc('minute', n.occurred_at), @slot::integer, count(*)
    FROM inserted n GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (event_type, bucket, slot) DO UPDATE SET count = c.count + excluded.count
), totalled AS (
    INSERT INTO event_totals AS s (event_type, slot, count)
    SELECT n.event_type, @slot::integer, count(*)
    FROM inserted n GROUP BY 1 ORDER BY 1
    ON CONFLICT (event_type, slot) DO UPDATE SET count = s.count + excluded.count
    RETURNING s.event_type, s.count
)
SELECT 0::bigint AS ordinal, w.event_type::text AS event_type, w.count::bigint AS total FROM totalled w
UNION ALL
SELECT i.ordinal::bigint, ''::text, (SELECT 0::bigint FROM pg_logical_emit_message(true, 'analytics', ''))::bigint FROM input i
WHERE NOT EXISTS (
    SELECT FROM inserted n
    WHERE n.user_id = i.user_id AND n.occurred_at = i.occurred_at AND n.event_id = i.event_id
);

-- name: EnsureEventsPartition :exec
SELECT ensure_events_partition(@instant::timestamptz);
