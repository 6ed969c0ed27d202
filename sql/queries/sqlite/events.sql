-- name: InsertEvent :execrows
INSERT INTO events (user_id, occurred_at, event_id, received_at, event_type, payload)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING;
