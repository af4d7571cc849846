-- +goose Up

-- The servers that share this database. Each renews its row every second; one
-- that has not for a minute is removed by the others. It is worth nothing after a
-- crash, so it is in no write-ahead log.
CREATE UNLOGGED TABLE replicas (
    id      uuid        PRIMARY KEY,
    name    text        NOT NULL,
    url     text        NOT NULL,
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 50);
