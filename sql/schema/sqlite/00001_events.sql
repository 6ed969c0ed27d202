-- +goose Up

-- The same tables as PostgreSQL's, without slots and partitions: there is one
-- writer. Times are Unix seconds, received_at is Unix microseconds, identifiers
-- are 16 bytes, payloads are the JSON text as sent. The key is the same as
-- PostgreSQL's in another order: with the time first, and then the id, which as a
-- UUIDv7 grows with time, new rows stand together at the end, a few pages a batch.
-- By user they would take a page each.
CREATE TABLE events (
    user_id     INTEGER NOT NULL,
    occurred_at INTEGER NOT NULL,
    event_id    BLOB    NOT NULL,
    received_at INTEGER NOT NULL,
    event_type  TEXT    NOT NULL,
    payload     TEXT,
    PRIMARY KEY (occurred_at, event_id, user_id)
) WITHOUT ROWID;

CREATE TABLE event_counts (
    event_type TEXT    NOT NULL,
    bucket     INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    PRIMARY KEY (bucket, event_type)
) WITHOUT ROWID;

CREATE TABLE event_totals (
    event_type TEXT    NOT NULL PRIMARY KEY,
    count      INTEGER NOT NULL
) WITHOUT ROWID;

-- +goose Down
DROP TABLE event_totals;
DROP TABLE event_counts;
DROP TABLE events;
