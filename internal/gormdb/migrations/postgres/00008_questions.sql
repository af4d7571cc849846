-- What servers ask each other: whether they refuse what was revoked. They
-- notify questions and answers, too; this is for a server whose feed is
-- interrupted. A row is there while somebody waits for the answer, and is in no
-- write-ahead log.

-- +goose Up
CREATE UNLOGGED TABLE replica_questions (
    question   uuid        NOT NULL,
    replica_id uuid        NOT NULL,
    answered   boolean     NOT NULL DEFAULT false,
    asked_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (question, replica_id)
) WITH (fillfactor = 50);
