-- Legacy API accounts: a user name and a token, good for one store.

-- +goose Up
CREATE TABLE legacy_accounts (
    account_id   TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    store_id     TEXT    NOT NULL,
    username     TEXT    NOT NULL,
    digest       BLOB    NOT NULL UNIQUE,
    digest_key   TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    last_used_ip TEXT,
    PRIMARY KEY (account_id, id),
    UNIQUE (account_id, store_id, username),
    FOREIGN KEY (account_id, store_id) REFERENCES stores
) STRICT;
