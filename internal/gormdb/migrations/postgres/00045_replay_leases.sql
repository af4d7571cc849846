-- The account's replay of a time range that is being scheduled. One server schedules one at a time.

-- +goose Up
CREATE TABLE replay_leases (
    account_id uuid        NOT NULL PRIMARY KEY REFERENCES accounts (id),
    holder     uuid        NOT NULL,
    until_at   timestamptz NOT NULL
);
