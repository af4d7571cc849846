-- The audit log is the event log, which webhooks and account.events read in the
-- order of commits. It is the events that have a sequence, which counts those of
-- their subject from 1 on. Events without a type (audit.Action.Type) and those that
-- an older program recorded have the sequence 0, and only the audit log shows them.
--
-- position orders the events of an account as they were committed. It is the number
-- of the transaction, or that of the subject's previous event if that is larger, so
-- that the events of a subject are in the order of their sequence. An event is read
-- once all transactions up to its position have ended (gormdb/log.go).
--
-- The number of a transaction means nothing in another cluster. So era comes before
-- it, which increases when the program finds that the database was restored into
-- another cluster (gormdb/log_era.go).

-- +goose Up
ALTER TABLE audit_events ADD COLUMN version bigint NOT NULL DEFAULT 1;
ALTER TABLE audit_events ADD COLUMN sequence bigint NOT NULL DEFAULT 0;
ALTER TABLE audit_events ADD COLUMN data text NOT NULL DEFAULT '{}';
ALTER TABLE audit_events ADD COLUMN era bigint NOT NULL DEFAULT 0;
ALTER TABLE audit_events ADD COLUMN position xid8 NOT NULL DEFAULT '0';
CREATE INDEX audit_events_log ON audit_events (account_id, era, position, sequence, id) WHERE sequence > 0;
CREATE UNIQUE INDEX audit_events_subject ON audit_events (account_id, target_kind, target_key, sequence)
    WHERE sequence > 0;

-- The current era, and the system identifier of its cluster; empty until a program
-- has recorded it.
CREATE TABLE log_era (
    id      bigint NOT NULL PRIMARY KEY CHECK (id = 1),
    era     bigint NOT NULL,
    cluster text   NOT NULL DEFAULT ''
);
INSERT INTO log_era (id, era) VALUES (1, 1);
