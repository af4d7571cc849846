-- Legacy API accounts: a user name and a token, good for one store.

-- +goose Up
CREATE TABLE legacy_accounts (
    account_id   uuid        NOT NULL,
    id           uuid        NOT NULL,
    store_id     uuid        NOT NULL,
    username     text        NOT NULL,
    digest       bytea       NOT NULL UNIQUE,
    digest_key   text        NOT NULL,
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    last_used_ip text,
    PRIMARY KEY (account_id, id),
    UNIQUE (account_id, store_id, username),
    FOREIGN KEY (account_id, store_id) REFERENCES stores
);
