-- The account's replay of a time range that is being scheduled. One server schedules one at a time.

-- +goose Up
CREATE TABLE replay_leases (
    account_id TEXT    NOT NULL PRIMARY KEY REFERENCES accounts (id),
    holder     TEXT    NOT NULL,
    until_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
