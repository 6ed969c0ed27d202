-- +goose Up

-- See PostgreSQL's. A day is the Unix seconds at which it begins.
CREATE TABLE event_days (
    event_type TEXT    NOT NULL,
    day        INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    quarters   BLOB    NOT NULL,
    minutes    BLOB    NOT NULL,
    PRIMARY KEY (event_type, day)
);

DROP INDEX event_counts_unfolded_idx;
DROP TABLE count_horizon;
DELETE FROM event_counts;
INSERT INTO event_counts (event_type, bucket, count)
SELECT e.event_type, e.occurred_at - e.occurred_at % 60, count(*) FROM events e GROUP BY 1, 2;

-- +goose Down
DELETE FROM event_counts;
INSERT INTO event_counts (event_type, bucket, count)
SELECT e.event_type, e.occurred_at - e.occurred_at % 60, count(*) FROM events e GROUP BY 1, 2;
DROP TABLE event_days;
CREATE INDEX event_counts_unfolded_idx ON event_counts (bucket) WHERE bucket % 900 <> 0;
CREATE TABLE count_horizon (
    singleton     INTEGER PRIMARY KEY CHECK (singleton = 1),
    minutes_since INTEGER NOT NULL
);
INSERT INTO count_horizon VALUES (1, -9223372036854775808);
