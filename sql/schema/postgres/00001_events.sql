-- +goose Up

-- The name of this database. Keys in Redis carry it, so a Redis that once served
-- another database is never mistaken for this one's. A dump carries it too, so
-- counts in Redis that are ahead of a restored database are found and rebuilt.
CREATE TABLE installation (
    singleton  boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO installation DEFAULT VALUES;

-- The event store: every accepted event exactly once. The primary key is the
-- event's identity and the timeline of a user, and it begins with the column by
-- which a distributed PostgreSQL would shard the table. event_type, here and in
-- every table, compares by bytes: types are listed in the same order whatever
-- the database's locale.
CREATE TABLE events (
    user_id     bigint      NOT NULL,
    occurred_at timestamptz NOT NULL,
    event_id    uuid        NOT NULL,
    received_at timestamptz NOT NULL,
    event_type  text        COLLATE "C" NOT NULL,
    payload     jsonb,
    PRIMARY KEY (user_id, occurred_at, event_id)
) PARTITION BY RANGE (occurred_at);

-- Carries user_id for index-only scans: users are counted six times as fast as
-- from the rows themselves, and inserts take no longer than without it.
CREATE INDEX events_event_type_occurred_at_idx ON events (event_type, occurred_at) INCLUDE (user_id);

-- Creates the partition that holds an instant, a month in UTC, unless it exists.
-- The table is created by itself and then attached: ATTACH PARTITION lets
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

-- Events per type, all time. The transaction that stores events adds them here
-- and to event_counts, so counts are never ahead of the event store or behind
-- it. Each writer counts in rows of its own slot and never waits for another
-- writer's row; a count is the sum over slots. The fill factor leaves room for
-- updates in place.
CREATE TABLE event_totals (
    event_type text    COLLATE "C" NOT NULL,
    slot       integer NOT NULL,
    count      bigint  NOT NULL,
    PRIMARY KEY (event_type, slot)
) WITH (fillfactor = 50);

-- Events per type and minute that are not in event_days yet: the count of a time
-- range is the sum of both tables, read in one statement. No writer owns slot
-- -1. It holds the minutes that the daily rollup has set aside.
CREATE TABLE event_counts (
    event_type text        COLLATE "C" NOT NULL,
    bucket     timestamptz NOT NULL,
    slot       integer     NOT NULL,
    count      bigint      NOT NULL,
    PRIMARY KEY (event_type, bucket, slot)
) WITH (fillfactor = 70);

-- For counts of all types, and for the rollup, which takes the minutes before an
-- instant.
CREATE INDEX event_counts_bucket_idx ON event_counts (bucket);

-- The daily rollup: events per type and day in UTC, of the day as a whole, by
-- quarter hour and by minute. The three agree. Quarter hours and minutes are
-- packed as impl/daycounts describes.
CREATE TABLE event_days (
    event_type text   COLLATE "C" NOT NULL,
    day        date   NOT NULL,
    count      bigint NOT NULL,
    quarters   bytea  NOT NULL,
    minutes    bytea  NOT NULL,
    PRIMARY KEY (event_type, day)
);

-- Large values are kept outside the row and, being packed already, are not
-- compressed: a month of one type is thirty small rows to the queries that don't
-- read minutes.
ALTER TABLE event_days ALTER COLUMN minutes SET STORAGE EXTERNAL;

-- For counts of all types.
CREATE INDEX event_days_day_idx ON event_days (day);

-- The leases of slots: which writer owns which slot, until when if it does not
-- renew. Two writers that share a slot still count correctly, but they wait for
-- each other.
CREATE TABLE writer_slots (
    slot       integer     PRIMARY KEY,
    owner      uuid        NOT NULL,
    expires_at timestamptz NOT NULL
);

-- Returns a text that is the same for equal JSON values. The text of jsonb is
-- not: 1 and 1.0 are equal, and it keeps them apart. Queries call this for group
-- keys that are arrays or objects.
-- +goose StatementBegin
CREATE FUNCTION canonical_json(v jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN CASE jsonb_typeof(v)
        WHEN 'object' THEN '{' || coalesce((
            SELECT string_agg(to_jsonb(m.key)::text || ': ' || canonical_json(m.value), ', ' ORDER BY octet_length(m.key), m.key COLLATE "C")
            FROM jsonb_each(v) m), '') || '}'
        WHEN 'array' THEN '[' || coalesce((
            SELECT string_agg(canonical_json(i.value), ', ' ORDER BY i.ordinality)
            FROM jsonb_array_elements(v) WITH ORDINALITY i), '') || ']'
        WHEN 'number' THEN trim_scale(v::numeric)::text
        ELSE v::text
    END;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION canonical_json(jsonb);
DROP TABLE writer_slots;
DROP TABLE event_days;
DROP TABLE event_counts;
DROP TABLE event_totals;
DROP FUNCTION ensure_events_partition(timestamptz);
DROP TABLE events;
DROP TABLE installation;
