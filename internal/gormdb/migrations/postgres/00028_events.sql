-- The audit log is the event log, which webhooks and account.events read in the
-- order of commits. An event has a sequence, which counts the events of its
-- subject from 1 on; events that an older program recorded have the sequence 0.
--
-- position orders the events of an account as they were committed, for those
-- whose transaction is older than every running one (gormdb/log.go). A
-- transaction's number means nothing in another cluster: after a restore the
-- program raises the default of era (gormdb/log_era.go).

-- +goose Up
ALTER TABLE audit_events ADD COLUMN version integer NOT NULL DEFAULT 1;
ALTER TABLE audit_events ADD COLUMN sequence bigint NOT NULL DEFAULT 0;
ALTER TABLE audit_events ADD COLUMN data text NOT NULL DEFAULT '{}';
ALTER TABLE audit_events ADD COLUMN era integer NOT NULL DEFAULT 0;
ALTER TABLE audit_events ALTER COLUMN era SET DEFAULT 1;
ALTER TABLE audit_events ADD COLUMN position xid8 NOT NULL DEFAULT '0';
ALTER TABLE audit_events ALTER COLUMN position SET DEFAULT pg_current_xact_id();
CREATE INDEX audit_events_log ON audit_events (account_id, era, position, id);
CREATE UNIQUE INDEX audit_events_subject ON audit_events (account_id, target_kind, target_key, sequence)
    WHERE sequence > 0;
