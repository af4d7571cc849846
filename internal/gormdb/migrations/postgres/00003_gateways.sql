-- Keys of gateways, which belong to no account.

-- +goose Up
CREATE TABLE gateway_keys (
    id         uuid        PRIMARY KEY,
    name       text        NOT NULL,
    digest     bytea       NOT NULL UNIQUE,
    digest_key text        NOT NULL,
    hint       text        NOT NULL,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);
