-- What people prove who they are with besides a password, and what is kept
-- between two steps of such a proof. Sealed columns are encrypted under the
-- server key that stands beside them; digests are keyed.

-- +goose Up
CREATE TABLE signin_flows (
    digest     BLOB    NOT NULL PRIMARY KEY,
    digest_key TEXT    NOT NULL,
    purpose    TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    sealed_key TEXT    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX signin_flows_end ON signin_flows (expires_at);

-- Codes of an authenticator app (RFC 6238). last_step is that of the code that
-- was used last: it and those before it work no more.
CREATE TABLE totp_secrets (
    user_id    TEXT    NOT NULL PRIMARY KEY REFERENCES users,
    sealed     BLOB    NOT NULL,
    sealed_key TEXT    NOT NULL,
    last_step  INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE recovery_codes (
    user_id    TEXT NOT NULL REFERENCES users,
    digest     BLOB NOT NULL,
    digest_key TEXT NOT NULL,
    PRIMARY KEY (user_id, digest)
) STRICT, WITHOUT ROWID;

-- Passkeys (Web Authentication, section 4: credential record). Of the key pair
-- it is the public half. The site is the relying party that it is good for.
CREATE TABLE passkeys (
    id              TEXT    NOT NULL PRIMARY KEY,
    user_id         TEXT    NOT NULL REFERENCES users,
    name            TEXT    NOT NULL,
    site            TEXT    NOT NULL,
    credential_id   BLOB    NOT NULL UNIQUE,
    public_key      BLOB    NOT NULL,
    sign_count      INTEGER NOT NULL,
    transports      TEXT    NOT NULL,
    backup_eligible INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    last_used_at    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX passkeys_user ON passkeys (user_id);

-- Who somebody is at an OpenID Connect provider: one person here is one there.
CREATE TABLE identities (
    id           TEXT    NOT NULL PRIMARY KEY,
    user_id      TEXT    NOT NULL REFERENCES users,
    issuer       TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    email        TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    UNIQUE (issuer, subject),
    UNIQUE (user_id, issuer)
) STRICT, WITHOUT ROWID;
