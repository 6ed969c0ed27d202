-- name: ReclaimSlot :one
-- Takes over the lowest slot whose owner stopped renewing it.
UPDATE writer_slots SET owner = @owner, expires_at = now() + make_interval(secs => @lease_seconds)
WHERE slot = (
    SELECT s.slot FROM writer_slots s WHERE s.expires_at < now() ORDER BY s.slot LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING slot;

-- name: AddSlot :one
-- Adds a slot after the highest. Fails with a unique violation when another
-- writer was faster: try again.
INSERT INTO writer_slots (slot, owner, expires_at)
SELECT coalesce(max(slot), -1) + 1, @owner, now() + make_interval(secs => @lease_seconds) FROM writer_slots
RETURNING slot;

-- name: RenewSlots :many
-- Returns the owners that still had a slot. A slot that was given back stays so.
UPDATE writer_slots SET expires_at = now() + make_interval(secs => @lease_seconds)
WHERE owner = ANY(@owners::uuid[]) AND expires_at > '-infinity'
RETURNING owner;

-- name: ReleaseSlot :exec
-- The lowest possible time, so that the slot is the next to be taken.
UPDATE writer_slots SET expires_at = '-infinity' WHERE owner = @owner;
