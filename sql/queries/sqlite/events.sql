-- name: InsertEvent :execrows
-- The payload is bound as bytes, which saves a copy; the cast makes them text.
INSERT INTO events (user_id, occurred_at, event_id, received_at, event_type, payload)
VALUES (?, ?, ?, ?, ?, CAST(CAST(sqlc.arg(payload) AS BLOB) AS TEXT))
ON CONFLICT DO NOTHING;
