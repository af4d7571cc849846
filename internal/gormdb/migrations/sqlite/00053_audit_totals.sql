-- Signed totals that bind the hash chains of all accounts together (docs/audit.md). The chains have another form, and
-- begin again: "latchkey audit begin".

-- +goose Up

-- works with older programs: they stop sealing events, and log why
DROP TABLE audit_sealing;

-- The totals, which are signed as a whole: all columns from epoch to nonce. head_sum is the hidden sum of all heads
-- (chain/totals.go). The row is not signed until the chains begin. account_id and event_id are those of the event that
-- was sealed last; xid and swept have a meaning on PostgreSQL only.
CREATE TABLE audit_totals (
    id         INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    epoch      TEXT    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    begun_at   INTEGER,
    version    INTEGER NOT NULL DEFAULT 0,
    events     INTEGER NOT NULL DEFAULT 0,
    restarts   INTEGER NOT NULL DEFAULT 0,
    head_sum   BLOB    NOT NULL DEFAULT x'',
    nonce      TEXT    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    mark       BLOB    NOT NULL DEFAULT x'',
    mark_key   TEXT    NOT NULL DEFAULT '',
    xid        INTEGER NOT NULL DEFAULT 0,
    account_id TEXT    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    event_id   TEXT    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    swept      INTEGER NOT NULL DEFAULT 1
) STRICT, WITHOUT ROWID;
INSERT INTO audit_totals (id) VALUES (1);

-- works with older programs: they do not seal any more
DELETE FROM audit_chain;
-- works with older programs: they do not seal any more
DELETE FROM audit_heads;
-- works with older programs: they do not seal any more
DELETE FROM audit_checkpoints;
-- works with older programs: it is filled again
DELETE FROM audit_unsealed;
INSERT INTO audit_unsealed (account_id, event_id) SELECT account_id, id FROM audit_events ORDER BY account_id, id;

-- The number of the checkpoint before, so that none can be removed.
ALTER TABLE audit_checkpoints ADD COLUMN previous INTEGER NOT NULL DEFAULT 0;
CREATE INDEX audit_checkpoints_key ON audit_checkpoints (signature_key);

-- The positions of streams are signed, too.
-- works with older programs: their streams begin at the last sealed event
DELETE FROM audit_streams;
ALTER TABLE audit_streams ADD COLUMN mark BLOB NOT NULL DEFAULT x'';
ALTER TABLE audit_streams ADD COLUMN mark_key TEXT NOT NULL DEFAULT '';
