-- The hash chains of the audit log (docs/audit.md).
--
-- xid is the transaction that inserted the event. Events are sealed in its order, once all transactions up to it have
-- ended. It is null for events from before this migration, and for those that were not sealed when the database was
-- restored into another cluster: the server seals them first, in the order of their keys (gormdb/chain.go). The default
-- fills it in for every program.

-- +goose Up
ALTER TABLE audit_events ADD COLUMN xid xid8;
-- works with older programs: they do not name the new column
ALTER TABLE audit_events ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
CREATE INDEX audit_events_xid ON audit_events (xid, account_id, id) WHERE xid IS NOT NULL;

-- The chain of each account. hash covers the event and the hash before it. place counts the events of all accounts.
CREATE TABLE audit_chain (
    account_id uuid   NOT NULL,
    number     bigint NOT NULL,
    event_id   uuid   NOT NULL,
    hash       bytea  NOT NULL,
    place      bigint NOT NULL,
    PRIMARY KEY (account_id, number),
    UNIQUE (account_id, event_id)
);
CREATE INDEX audit_chain_place ON audit_chain (place);

-- The end of each chain. mark is a signature with the server's key. signed_number is the number of the last checkpoint.
CREATE TABLE audit_heads (
    account_id    uuid        NOT NULL PRIMARY KEY,
    number        bigint      NOT NULL,
    hash          bytea       NOT NULL,
    sealed_at     timestamptz NOT NULL,
    mark          bytea       NOT NULL,
    mark_key      text        NOT NULL,
    signed_number bigint      NOT NULL,
    signed_at     timestamptz
);

-- Signed hashes of each chain. pruned says that the events up to the number were removed because they were old.
CREATE TABLE audit_checkpoints (
    account_id    uuid        NOT NULL,
    number        bigint      NOT NULL,
    hash          bytea       NOT NULL,
    at            timestamptz NOT NULL,
    pruned        boolean     NOT NULL,
    signature     bytea       NOT NULL,
    signature_key text        NOT NULL,
    PRIMARY KEY (account_id, number)
);

-- Up to where events are sealed: the xid, account and ID of the last one. Until the events without an xid are sealed,
-- swept is false, and account and ID are those of the last one of them; xid is where the others begin. events and
-- restarts are signed totals. Who seals locks the row.
CREATE TABLE audit_sealing (
    id         bigint  NOT NULL PRIMARY KEY CHECK (id = 1),
    xid        xid8    NOT NULL DEFAULT '0',
    account_id uuid    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    event_id   uuid    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    swept      boolean NOT NULL DEFAULT false,
    events     bigint  NOT NULL DEFAULT 0,
    restarts   bigint  NOT NULL DEFAULT 0,
    mark       bytea   NOT NULL DEFAULT '',
    mark_key   text    NOT NULL DEFAULT ''
);
INSERT INTO audit_sealing (id) VALUES (1);

-- The targets to which sealed events are streamed: the place of the last event that arrived, and the server that sends.
CREATE TABLE audit_streams (
    target   text        NOT NULL PRIMARY KEY,
    place    bigint,
    holder   uuid        NOT NULL,
    until_at timestamptz NOT NULL
);
