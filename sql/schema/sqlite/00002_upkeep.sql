-- +goose Up

-- See PostgreSQL's. A folded row is that of its quarter hour's first minute.
CREATE TABLE count_horizon (
    singleton     INTEGER PRIMARY KEY CHECK (singleton = 1),
    minutes_since INTEGER NOT NULL
);
INSERT INTO count_horizon VALUES (1, -9223372036854775808);

-- Minutes that are no quarter hour's first.
CREATE INDEX event_counts_unfolded_idx ON event_counts (bucket) WHERE bucket % 900 <> 0;

-- +goose Down
DROP INDEX event_counts_unfolded_idx;
DROP TABLE count_horizon;
