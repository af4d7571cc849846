-- What people prove who they are with besides a password, and what is kept
-- between two steps of such a proof. Sealed columns are encrypted under the
-- server key that stands beside them; digests are keyed.

-- +goose Up
CREATE TABLE signin_flows (
    digest     bytea       NOT NULL PRIMARY KEY,
    digest_key text        NOT NULL,
    purpose    text        NOT NULL,
    sealed     bytea       NOT NULL,
    sealed_key text        NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX signin_flows_end ON signin_flows (expires_at);

-- Codes of an authenticator app (RFC 6238). last_step is that of the code that
-- was used last: it and those before it work no more.
CREATE TABLE totp_secrets (
    user_id    uuid        NOT NULL PRIMARY KEY REFERENCES users,
    sealed     bytea       NOT NULL,
    sealed_key text        NOT NULL,
    last_step  bigint      NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE recovery_codes (
    user_id    uuid  NOT NULL REFERENCES users,
    digest     bytea NOT NULL,
    digest_key text  NOT NULL,
    PRIMARY KEY (user_id, digest)
);

-- Passkeys (Web Authentication, section 4: credential record). Of the key pair
-- it is the public half. The site is the relying party that it is good for.
CREATE TABLE passkeys (
    id              uuid        NOT NULL PRIMARY KEY,
    user_id         uuid        NOT NULL REFERENCES users,
    name            text        NOT NULL,
    site            text        NOT NULL,
    credential_id   bytea       NOT NULL UNIQUE,
    public_key      bytea       NOT NULL,
    sign_count      bigint      NOT NULL,
    transports      text        NOT NULL,
    backup_eligible boolean     NOT NULL,
    created_at      timestamptz NOT NULL,
    last_used_at    timestamptz
);
CREATE INDEX passkeys_user ON passkeys (user_id);

-- Who somebody is at an OpenID Connect provider: one person here is one there.
CREATE TABLE identities (
    id           uuid        NOT NULL PRIMARY KEY,
    user_id      uuid        NOT NULL REFERENCES users,
    issuer       text        NOT NULL,
    subject      text        NOT NULL,
    email        text        NOT NULL,
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    UNIQUE (issuer, subject),
    UNIQUE (user_id, issuer)
);
