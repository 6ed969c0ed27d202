-- name: TotalsOfTypes :many
SELECT event_type, slot, count FROM event_totals WHERE event_type = ANY(@event_types::text[]) ORDER BY event_type, slot;

-- name: TypesAfter :many
-- Pages through the event types in order.
SELECT DISTINCT event_type FROM event_totals WHERE event_type > @after ORDER BY event_type LIMIT @page_size;
