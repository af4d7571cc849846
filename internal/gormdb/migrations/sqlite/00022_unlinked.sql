-- Identities at an OpenID Connect provider that their users unlinked. Such an
-- identity is not linked again because the provider vouches for the address.

-- +goose Up
CREATE TABLE unlinked_identities (
    user_id     TEXT    NOT NULL REFERENCES users,
    issuer      TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    unlinked_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, issuer, subject)
) STRICT, WITHOUT ROWID;
