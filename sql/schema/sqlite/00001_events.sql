-- +goose Up

-- The tables of PostgreSQL without slots and partitions: there is one writer.
-- ../postgres/00001_events.sql says what each table is for. Here times are Unix
-- seconds, except received_at, which is Unix microseconds; identifiers are 16
-- bytes.

-- The payload is the JSON text as it was sent. The primary key is PostgreSQL's in
-- another order: by time first, and then by the identifier, which grows with time
-- if it is a UUIDv7. New rows are neighbours at the end of the table, a few pages
-- per batch; ordered by user they would take a page each.
CREATE TABLE events (
    user_id     INTEGER NOT NULL,
    occurred_at INTEGER NOT NULL,
    event_id    BLOB    NOT NULL,
    received_at INTEGER NOT NULL,
    event_type  TEXT    NOT NULL,
    payload     TEXT,
    PRIMARY KEY (occurred_at, event_id, user_id)
) WITHOUT ROWID;

CREATE TABLE event_totals (
    event_type TEXT    NOT NULL PRIMARY KEY,
    count      INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE event_counts (
    event_type TEXT    NOT NULL,
    bucket     INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    PRIMARY KEY (bucket, event_type)
) WITHOUT ROWID;

-- day is the instant at which the day begins. Packed minutes make rows too large
-- for WITHOUT ROWID.
CREATE TABLE event_days (
    event_type TEXT    NOT NULL,
    day        INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    quarters   BLOB    NOT NULL,
    minutes    BLOB    NOT NULL,
    PRIMARY KEY (event_type, day)
);

-- +goose Down
DROP TABLE event_days;
DROP TABLE event_counts;
DROP TABLE event_totals;
DROP TABLE events;
