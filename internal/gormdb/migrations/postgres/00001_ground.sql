-- People, tenants, API tokens, sessions and the audit log.
--
-- A row that belongs to one account has account_id first in its key, so that
-- a cluster can place an account's rows together. Sets of names (scopes,
-- features, permissions, address ranges) are text, separated by single spaces.

-- +goose Up
CREATE TABLE users (
    id           uuid        PRIMARY KEY,
    email        text        NOT NULL,
    email_folded text        NOT NULL UNIQUE,
    first_name   text        NOT NULL,
    last_name    text        NOT NULL,
    locale       text        NOT NULL,
    created_at   timestamptz NOT NULL
);

CREATE TABLE accounts (
    id         uuid        PRIMARY KEY,
    name       text        NOT NULL,
    owner_id   uuid        NOT NULL REFERENCES users,
    features   text        NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX accounts_owner ON accounts (owner_id);

CREATE TABLE stores (
    account_id uuid        NOT NULL REFERENCES accounts,
    id         uuid        NOT NULL,
    hash       text        NOT NULL UNIQUE,
    name       text        NOT NULL,
    owner_id   uuid        NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX stores_owner ON stores (owner_id, account_id);

CREATE TABLE apps (
    account_id uuid        NOT NULL REFERENCES accounts,
    key        uuid        NOT NULL,
    id         bigint      NOT NULL UNIQUE,
    name       text        NOT NULL,
    status     text        NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, key)
);

CREATE TABLE account_users (
    account_id uuid        NOT NULL REFERENCES accounts,
    user_id    uuid        NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, user_id)
);

CREATE TABLE store_users (
    account_id    uuid        NOT NULL,
    id            uuid        NOT NULL,
    store_id      uuid        NOT NULL,
    user_id       uuid        NOT NULL,
    status        text        NOT NULL,
    permissions   text        NOT NULL,
    last_login_at timestamptz,
    updated_at    timestamptz NOT NULL,
    PRIMARY KEY (account_id, id),
    UNIQUE (account_id, store_id, user_id),
    FOREIGN KEY (account_id, store_id) REFERENCES stores,
    FOREIGN KEY (account_id, user_id) REFERENCES account_users
);
CREATE INDEX store_users_page ON store_users (account_id, store_id, id);

CREATE TABLE store_apps (
    account_id uuid   NOT NULL,
    store_id   uuid   NOT NULL,
    app_id     bigint NOT NULL REFERENCES apps (id),
    PRIMARY KEY (account_id, store_id, app_id),
    FOREIGN KEY (account_id, store_id) REFERENCES stores
);

CREATE TABLE store_user_apps (
    account_id uuid   NOT NULL,
    member_id  uuid   NOT NULL,
    app_id     bigint NOT NULL REFERENCES apps (id),
    PRIMARY KEY (account_id, member_id, app_id),
    FOREIGN KEY (account_id, member_id) REFERENCES store_users
);

-- store_id is null for account-level tokens. last_used_at changes often and is
-- in no index, so that the room left in each page lets PostgreSQL keep the new
-- row beside the old one.
CREATE TABLE api_tokens (
    account_id           uuid        NOT NULL REFERENCES accounts,
    id                   uuid        NOT NULL,
    store_id             uuid,
    name                 text        NOT NULL,
    client_id            text        NOT NULL UNIQUE,
    client_secret_digest bytea       NOT NULL,
    client_secret_key    text        NOT NULL,
    scopes               text        NOT NULL,
    allowed_ip_ranges    text        NOT NULL,
    created_at           timestamptz NOT NULL,
    created_by_kind      text        NOT NULL,
    created_by_id        uuid,
    created_by_name      text        NOT NULL,
    expires_at           timestamptz,
    last_used_at         timestamptz,
    last_used_ip         text,
    revoked_at           timestamptz,
    revoked_by_kind      text,
    revoked_by_id        uuid,
    revoked_by_name      text,
    revocation_reason    text,
    PRIMARY KEY (account_id, id),
    FOREIGN KEY (account_id, store_id) REFERENCES stores
) WITH (fillfactor = 85);
CREATE INDEX api_tokens_page ON api_tokens (account_id, store_id, id);
CREATE INDEX api_tokens_live ON api_tokens (account_id, store_id, id) WHERE revoked_at IS NULL;

CREATE TABLE access_tokens (
    account_id   uuid        NOT NULL,
    api_token_id uuid        NOT NULL,
    id           uuid        NOT NULL,
    digest       bytea       NOT NULL UNIQUE,
    digest_key   text        NOT NULL,
    hint         text        NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    PRIMARY KEY (account_id, api_token_id, id),
    FOREIGN KEY (account_id, api_token_id) REFERENCES api_tokens
);

CREATE TABLE sessions (
    account_id uuid        NOT NULL REFERENCES accounts,
    id         uuid        NOT NULL,
    user_id    uuid        NOT NULL REFERENCES users,
    digest     bytea       NOT NULL UNIQUE,
    digest_key text        NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz,
    PRIMARY KEY (account_id, id)
);

-- An event names what it is about as it was then. It references nothing, so
-- that it outlives what it tells of.
CREATE TABLE audit_events (
    account_id  uuid        NOT NULL,
    id          uuid        NOT NULL,
    at          timestamptz NOT NULL,
    actor_kind  text        NOT NULL,
    actor_id    uuid,
    actor_name  text        NOT NULL,
    action      text        NOT NULL,
    target_kind text        NOT NULL,
    target_key  text        NOT NULL,
    target_name text        NOT NULL,
    ip          text        NOT NULL,
    request_id  text        NOT NULL,
    details     jsonb       NOT NULL,
    PRIMARY KEY (account_id, id)
);

-- The revocation feed: a row for every transaction that took a right away in
-- an account, or may have. Replicas read what is new by the number of the
-- transaction (see postgres_feed.go); rows are of use for some minutes. SQLite
-- needs no such table: there, every process notices what another commits.
CREATE TABLE changes (
    xid        xid8        NOT NULL DEFAULT pg_current_xact_id(),
    account_id uuid        NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (xid, account_id)
);

-- The ids of the server keys that the digests were made with, so that a key
-- file that does not belong to the database is noticed at the start.
CREATE TABLE server_keys (
    id            text        PRIMARY KEY,
    first_used_at timestamptz NOT NULL
);
