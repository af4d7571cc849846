-- The hash chains of the audit log (docs/audit.md).
--
-- xid has a meaning on PostgreSQL only, where events are sealed in the order of transactions. Here there is one writer,
-- and a trigger lists each event that must be sealed, for all programs that insert events.

-- +goose Up
ALTER TABLE audit_events ADD COLUMN xid INTEGER;
CREATE INDEX audit_events_xid ON audit_events (xid, account_id, id) WHERE xid IS NOT NULL;

-- The chain of each account. hash covers the event and the hash before it. place counts the events of all accounts.
CREATE TABLE audit_chain (
    account_id TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    event_id   TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    place      INTEGER NOT NULL,
    PRIMARY KEY (account_id, number),
    UNIQUE (account_id, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_chain_place ON audit_chain (place);

-- The end of each chain. mark is a signature with the server's key. signed_number is the number of the last checkpoint.
CREATE TABLE audit_heads (
    account_id    TEXT    NOT NULL PRIMARY KEY,
    number        INTEGER NOT NULL,
    hash          BLOB    NOT NULL,
    sealed_at     INTEGER NOT NULL,
    mark          BLOB    NOT NULL,
    mark_key      TEXT    NOT NULL,
    signed_number INTEGER NOT NULL,
    signed_at     INTEGER
) STRICT, WITHOUT ROWID;

-- Signed hashes of each chain. pruned says that the events up to the number were removed because they were old.
CREATE TABLE audit_checkpoints (
    account_id    TEXT    NOT NULL,
    number        INTEGER NOT NULL,
    hash          BLOB    NOT NULL,
    at            INTEGER NOT NULL,
    pruned        INTEGER NOT NULL,
    signature     BLOB    NOT NULL,
    signature_key TEXT    NOT NULL,
    PRIMARY KEY (account_id, number)
) STRICT, WITHOUT ROWID;

-- The account and ID of the event that was sealed last, and signed totals. xid and swept have a meaning on PostgreSQL
-- only.
CREATE TABLE audit_sealing (
    id         INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    xid        INTEGER NOT NULL DEFAULT 0,
    account_id TEXT    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    event_id   TEXT    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    swept      INTEGER NOT NULL DEFAULT 1,
    events     INTEGER NOT NULL DEFAULT 0,
    restarts   INTEGER NOT NULL DEFAULT 0,
    mark       BLOB    NOT NULL DEFAULT x'',
    mark_key   TEXT    NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
INSERT INTO audit_sealing (id) VALUES (1);

-- The targets to which sealed events are streamed: the place of the last event that arrived, and the server that sends.
CREATE TABLE audit_streams (
    target   TEXT    NOT NULL PRIMARY KEY,
    place    INTEGER,
    holder   TEXT    NOT NULL,
    until_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The events that must be sealed, in the order of their commits; at first those from before this migration.
CREATE TABLE audit_unsealed (
    number     INTEGER PRIMARY KEY,
    account_id TEXT    NOT NULL,
    event_id   TEXT    NOT NULL
) STRICT;
INSERT INTO audit_unsealed (account_id, event_id) SELECT account_id, id FROM audit_events ORDER BY account_id, id;

-- +goose StatementBegin
CREATE TRIGGER audit_events_unsealed AFTER INSERT ON audit_events BEGIN
    INSERT INTO audit_unsealed (account_id, event_id) VALUES (new.account_id, new.id);
END;
-- +goose StatementEnd
