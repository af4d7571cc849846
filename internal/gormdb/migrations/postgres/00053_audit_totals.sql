-- Signed totals that bind the hash chains of all accounts together (docs/audit.md). The chains have another form, and
-- begin again: "latchkey audit begin".

-- +goose Up

-- works with older programs: they stop sealing events, and log why
DROP TABLE audit_sealing;

-- The totals, which are signed as a whole: all columns from epoch to nonce. head_sum is the hidden sum of all heads
-- (chain/totals.go). The row is not signed until the chains begin.
--
-- The columns after mark_key say up to where events are sealed: the xid, account and ID of the last one. Until the events
-- without an xid are sealed, swept is false, and account and ID are those of the last one of them; xid is where the
-- others begin. Who seals locks the row.
CREATE TABLE audit_totals (
    id         bigint NOT NULL PRIMARY KEY CHECK (id = 1),
    epoch      uuid   NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    begun_at   timestamptz,
    version    bigint NOT NULL DEFAULT 0,
    events     bigint NOT NULL DEFAULT 0,
    restarts   bigint NOT NULL DEFAULT 0,
    head_sum   bytea  NOT NULL DEFAULT '',
    nonce      uuid   NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    mark       bytea  NOT NULL DEFAULT '',
    mark_key   text   NOT NULL DEFAULT '',
    xid        xid8   NOT NULL DEFAULT '0',
    account_id uuid   NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    event_id   uuid   NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    swept      boolean NOT NULL DEFAULT false
);
INSERT INTO audit_totals (id) VALUES (1);

-- works with older programs: they do not seal any more
DELETE FROM audit_chain;
-- works with older programs: they do not seal any more
DELETE FROM audit_heads;
-- works with older programs: they do not seal any more
DELETE FROM audit_checkpoints;

-- The number of the checkpoint before, so that none can be removed.
ALTER TABLE audit_checkpoints ADD COLUMN previous bigint NOT NULL DEFAULT 0;
CREATE INDEX audit_checkpoints_key ON audit_checkpoints (signature_key);

-- The positions of streams are signed, too.
-- works with older programs: their streams begin at the last sealed event
DELETE FROM audit_streams;
ALTER TABLE audit_streams ADD COLUMN mark bytea NOT NULL DEFAULT '';
ALTER TABLE audit_streams ADD COLUMN mark_key text NOT NULL DEFAULT '';
