-- The access tokens that clients get for their client secrets (RFC 6749,
-- section 4.4). They live an hour at most, and rows of those that have ended
-- are deleted, some with every new one: the index of ends is for that.

-- +goose Up
CREATE TABLE access_grants (
    account_id   TEXT    NOT NULL,
    api_token_id TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    digest       BLOB    NOT NULL UNIQUE,
    digest_key   TEXT    NOT NULL,
    hint         TEXT    NOT NULL,
    scopes       TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    PRIMARY KEY (account_id, api_token_id, id),
    FOREIGN KEY (account_id, api_token_id) REFERENCES api_tokens
) STRICT;
CREATE INDEX access_grants_ends ON access_grants (account_id, expires_at);
