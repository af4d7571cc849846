-- Each server renews a row of its own twice a second, in the write-ahead log and
-- committed as any token is. What a server reads together with its latest
-- heartbeat comes from the primary that took it; a standby that lags, or a former
-- primary, does not have it.

-- +goose Up
CREATE TABLE heartbeats (
    id   uuid        PRIMARY KEY,
    beat bigint      NOT NULL,
    at   timestamptz NOT NULL
) WITH (fillfactor = 50);

-- When the table replicas was last emptied, which a crash or a failover does, as
-- it does to this one. No server could run before this migration.
CREATE UNLOGGED TABLE registry (
    single boolean     PRIMARY KEY DEFAULT true CHECK (single),
    id     uuid        NOT NULL DEFAULT gen_random_uuid(),
    born   timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO registry (born) VALUES ('epoch');

-- The process that runs the server, so that another one on the same machine can
-- tell that it has ended.
ALTER TABLE replicas ADD COLUMN process text NOT NULL DEFAULT '';
