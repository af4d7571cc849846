-- The last use of each access token, so that a rotation's owner sees which is
-- still in use, and the forms that were sent, so that none is acted on twice.

-- +goose Up
ALTER TABLE access_tokens ADD COLUMN last_used_at timestamptz;
ALTER TABLE access_tokens ADD COLUMN last_used_ip text;
-- As for api_tokens: the last use changes often and is in no index.
ALTER TABLE access_tokens SET (fillfactor = 85);

CREATE TABLE sent_forms (
    account_id uuid        NOT NULL REFERENCES accounts,
    id         uuid        NOT NULL,
    sent_at    timestamptz NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX sent_forms_age ON sent_forms (sent_at);
