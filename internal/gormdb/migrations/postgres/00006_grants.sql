-- The access tokens that clients get for their client secrets (RFC 6749,
-- section 4.4). They live an hour at most, and rows of those that have ended
-- are deleted, some with every new one: the index of ends is for that.

-- +goose Up
CREATE TABLE access_grants (
    account_id   uuid        NOT NULL,
    api_token_id uuid        NOT NULL,
    id           uuid        NOT NULL,
    digest       bytea       NOT NULL UNIQUE,
    digest_key   text        NOT NULL,
    hint         text        NOT NULL,
    scopes       text        NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (account_id, api_token_id, id),
    FOREIGN KEY (account_id, api_token_id) REFERENCES api_tokens
);
CREATE INDEX access_grants_ends ON access_grants (account_id, expires_at);
