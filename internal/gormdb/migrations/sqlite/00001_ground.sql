-- People, tenants, API tokens, sessions and the audit log.
--
-- The tables are those of PostgreSQL, column for column. A UUID is its text; a
-- moment is a number of microseconds since 1970, which is exact and sorts. Sets
-- of names are text, separated by single spaces; details are JSON.
--
-- Tables are WITHOUT ROWID, which spares an index, but for those with an index
-- that shares its first column with the key: of the two SQLite would choose
-- the key, also where the index leads to fewer rows.

-- +goose Up
CREATE TABLE users (
    id           TEXT    NOT NULL PRIMARY KEY,
    email        TEXT    NOT NULL,
    email_folded TEXT    NOT NULL UNIQUE,
    first_name   TEXT    NOT NULL,
    last_name    TEXT    NOT NULL,
    locale       TEXT    NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    owner_id   TEXT    NOT NULL REFERENCES users,
    features   TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX accounts_owner ON accounts (owner_id);

CREATE TABLE stores (
    account_id TEXT    NOT NULL REFERENCES accounts,
    id         TEXT    NOT NULL,
    hash       TEXT    NOT NULL UNIQUE,
    name       TEXT    NOT NULL,
    owner_id   TEXT    NOT NULL REFERENCES users,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX stores_owner ON stores (owner_id, account_id);

CREATE TABLE apps (
    account_id TEXT    NOT NULL REFERENCES accounts,
    key        TEXT    NOT NULL,
    id         INTEGER NOT NULL UNIQUE,
    name       TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE account_users (
    account_id TEXT    NOT NULL REFERENCES accounts,
    user_id    TEXT    NOT NULL REFERENCES users,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE store_users (
    account_id    TEXT    NOT NULL,
    id            TEXT    NOT NULL,
    store_id      TEXT    NOT NULL,
    user_id       TEXT    NOT NULL,
    status        TEXT    NOT NULL,
    permissions   TEXT    NOT NULL,
    last_login_at INTEGER,
    updated_at    INTEGER NOT NULL,
    PRIMARY KEY (account_id, id),
    UNIQUE (account_id, store_id, user_id),
    FOREIGN KEY (account_id, store_id) REFERENCES stores,
    FOREIGN KEY (account_id, user_id) REFERENCES account_users
) STRICT;
CREATE INDEX store_users_page ON store_users (account_id, store_id, id);

CREATE TABLE store_apps (
    account_id TEXT    NOT NULL,
    store_id   TEXT    NOT NULL,
    app_id     INTEGER NOT NULL REFERENCES apps (id),
    PRIMARY KEY (account_id, store_id, app_id),
    FOREIGN KEY (account_id, store_id) REFERENCES stores
) STRICT, WITHOUT ROWID;

CREATE TABLE store_user_apps (
    account_id TEXT    NOT NULL,
    member_id  TEXT    NOT NULL,
    app_id     INTEGER NOT NULL REFERENCES apps (id),
    PRIMARY KEY (account_id, member_id, app_id),
    FOREIGN KEY (account_id, member_id) REFERENCES store_users
) STRICT, WITHOUT ROWID;

-- store_id is null for account-level tokens.
CREATE TABLE api_tokens (
    account_id           TEXT    NOT NULL REFERENCES accounts,
    id                   TEXT    NOT NULL,
    store_id             TEXT,
    name                 TEXT    NOT NULL,
    client_id            TEXT    NOT NULL UNIQUE,
    client_secret_digest BLOB    NOT NULL,
    client_secret_key    TEXT    NOT NULL,
    scopes               TEXT    NOT NULL,
    allowed_ip_ranges    TEXT    NOT NULL,
    created_at           INTEGER NOT NULL,
    created_by_kind      TEXT    NOT NULL,
    created_by_id        TEXT,
    created_by_name      TEXT    NOT NULL,
    expires_at           INTEGER,
    last_used_at         INTEGER,
    last_used_ip         TEXT,
    revoked_at           INTEGER,
    revoked_by_kind      TEXT,
    revoked_by_id        TEXT,
    revoked_by_name      TEXT,
    revocation_reason    TEXT,
    PRIMARY KEY (account_id, id),
    FOREIGN KEY (account_id, store_id) REFERENCES stores
) STRICT;
CREATE INDEX api_tokens_page ON api_tokens (account_id, store_id, id);
CREATE INDEX api_tokens_live ON api_tokens (account_id, store_id, id) WHERE revoked_at IS NULL;

CREATE TABLE access_tokens (
    account_id   TEXT    NOT NULL,
    api_token_id TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    digest       BLOB    NOT NULL UNIQUE,
    digest_key   TEXT    NOT NULL,
    hint         TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    PRIMARY KEY (account_id, api_token_id, id),
    FOREIGN KEY (account_id, api_token_id) REFERENCES api_tokens
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    account_id TEXT    NOT NULL REFERENCES accounts,
    id         TEXT    NOT NULL,
    user_id    TEXT    NOT NULL REFERENCES users,
    digest     BLOB    NOT NULL UNIQUE,
    digest_key TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at   INTEGER,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;

-- An event names what it is about as it was then. It references nothing, so
-- that it outlives what it tells of.
CREATE TABLE audit_events (
    account_id  TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    actor_kind  TEXT    NOT NULL,
    actor_id    TEXT,
    actor_name  TEXT    NOT NULL,
    action      TEXT    NOT NULL,
    target_kind TEXT    NOT NULL,
    target_key  TEXT    NOT NULL,
    target_name TEXT    NOT NULL,
    ip          TEXT    NOT NULL,
    request_id  TEXT    NOT NULL,
    details     TEXT    NOT NULL,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;

-- The ids of the server keys that the digests were made with, so that a key
-- file that does not belong to the database is noticed at the start.
CREATE TABLE server_keys (
    id            TEXT    NOT NULL PRIMARY KEY,
    first_used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
