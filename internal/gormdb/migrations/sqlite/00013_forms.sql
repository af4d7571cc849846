-- The last use of each access token, so that a rotation's owner sees which is
-- still in use, and the forms that were sent, so that none is acted on twice.

-- +goose Up
ALTER TABLE access_tokens ADD COLUMN last_used_at INTEGER;
ALTER TABLE access_tokens ADD COLUMN last_used_ip TEXT;

CREATE TABLE sent_forms (
    account_id TEXT    NOT NULL REFERENCES accounts,
    id         TEXT    NOT NULL,
    sent_at    INTEGER NOT NULL,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sent_forms_age ON sent_forms (sent_at);
