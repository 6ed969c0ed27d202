-- +goose Up

-- From when on event_counts has minutes. What is before may be minutes or quarter
-- hours, and becomes quarter hours: in a bucket there, whole quarter hours are
-- exact at any moment, minutes aren't. Who reads minutes, reads this row and the
-- counts in one statement.
CREATE TABLE count_horizon (
    singleton     boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    minutes_since timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO count_horizon DEFAULT VALUES;

-- What is still to be folded. Only new rows pay for it: counting on in a row
-- changes no indexed column. Folded rows have slot -1, which no writer owns.
CREATE INDEX event_counts_unfolded_idx ON event_counts (bucket) WHERE slot >= 0;

-- +goose Down
DROP INDEX event_counts_unfolded_idx;
DROP TABLE count_horizon;
