-- +goose Up

-- Up to where counts may be folded: a quarter hour that ends by folded_before
-- may be one row or still minutes, and late events may give it minutes again.
-- From folded_before on every row is a minute. It only ever grows, by whole
-- quarter hours, and it grows in the transaction that folds or in one before.
--
-- So a statement, which reads the table and event_counts in one snapshot, may
-- rely on this: the sum over any whole quarter hours is exact at every moment,
-- and so is the sum over any whole minutes from folded_before on. Reading the
-- horizon in a statement of its own is safe in one direction only: afterwards
-- it may have grown, never shrunk.
CREATE TABLE fold_state (
    singleton     boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    folded_before timestamptz NOT NULL
);
-- The first moment that the record can hold: nothing is folded.
INSERT INTO fold_state (folded_before) VALUES ('0001-01-01 00:00:00+00');

-- +goose Down
DROP TABLE fold_state;
