-- +goose Up

-- Names this database. Keys in Redis carry the name, so that a Redis which
-- once served another database is never taken for this one's.
CREATE TABLE installation (
    singleton  boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO installation DEFAULT VALUES;

-- The record: every accepted event once. The primary key is the event's
-- identity, the per-user timeline index, and starts with the column that a
-- distributed PostgreSQL would shard by. Partitions are made by
-- ensure_events_partition, a month each, when they are first needed. Types
-- compare by bytes, whatever the database's language, so that they are listed
-- in the same order everywhere.
CREATE TABLE events (
    user_id     bigint      NOT NULL,
    occurred_at timestamptz NOT NULL,
    event_id    uuid        NOT NULL,
    received_at timestamptz NOT NULL,
    event_type  text        COLLATE "C" NOT NULL,
    payload     jsonb,
    PRIMARY KEY (user_id, occurred_at, event_id)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX events_event_type_occurred_at_idx ON events (event_type, occurred_at);

-- Events per type and minute, kept in the
-- transaction that stores the events. A slot belongs to one writer at a time,
-- so that writers never wait for each other's rows, and -1 to nobody; a count is the sum over
-- slots. The fill factor leaves room for updates in place.
CREATE TABLE event_counts (
    event_type text        COLLATE "C" NOT NULL,
    bucket     timestamptz NOT NULL,
    slot       integer     NOT NULL,
    count      bigint      NOT NULL,
    PRIMARY KEY (event_type, bucket, slot)
) WITH (fillfactor = 70);

-- Events per type since the beginning.
CREATE TABLE event_totals (
    event_type text    COLLATE "C" NOT NULL,
    slot       integer NOT NULL,
    count      bigint  NOT NULL,
    PRIMARY KEY (event_type, slot)
) WITH (fillfactor = 50);

-- Which writer owns which slot, and until when unless it renews. Two writers
-- in one slot would still count right: they would only wait for each other.
CREATE TABLE writer_slots (
    slot       integer     PRIMARY KEY,
    owner      uuid        NOT NULL,
    expires_at timestamptz NOT NULL
);

-- Makes the partition that holds a point in time, unless it is there. The
-- table is made on its own and then attached: ATTACH takes a lock that lets
-- inserts into other partitions go on, CREATE TABLE ... PARTITION OF does not.
-- +goose StatementBegin
CREATE FUNCTION ensure_events_partition(instant timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    lower_bound timestamptz := date_trunc('month', instant, 'UTC');
    upper_bound timestamptz := (date_trunc('month', instant AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
    partition   text := 'events_' || to_char(instant AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    -- One maker at a time: two would deadlock on the parent.
    PERFORM pg_advisory_xact_lock(hashtextextended('analytics:partitions', 0));
    IF EXISTS (
        SELECT FROM pg_inherits
        WHERE inhparent = 'events'::regclass AND inhrelid = to_regclass(quote_ident(partition))
    ) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE IF NOT EXISTS %I (LIKE events INCLUDING DEFAULTS)', partition);
    EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        partition, lower_bound, upper_bound);
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION ensure_events_partition(timestamptz);
DROP TABLE writer_slots;
DROP TABLE event_totals;
DROP TABLE event_counts;
DROP TABLE events;
DROP TABLE installation;
