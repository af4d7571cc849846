-- The audit log is the event log, which webhooks and account.events read in the
-- order of commits. It is the events that have a sequence, which counts those of
-- their subject from 1 on. Events without a type (audit.Action.Type) and those that
-- an older program recorded have the sequence 0, and only the audit log shows them.
--
-- position counts the events of an account in the order of their commits. There
-- is one writer, so the next position is one more than the largest. era is 1 for
-- all of them: it has a meaning on PostgreSQL only.

-- +goose Up
ALTER TABLE audit_events ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE audit_events ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit_events ADD COLUMN data TEXT NOT NULL DEFAULT '{}';
ALTER TABLE audit_events ADD COLUMN era INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit_events ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
CREATE INDEX audit_events_log ON audit_events (account_id, era, position, sequence, id) WHERE sequence > 0;
CREATE UNIQUE INDEX audit_events_subject ON audit_events (account_id, target_kind, target_key, sequence)
    WHERE sequence > 0;
