-- Identities at an OpenID Connect provider that their users unlinked. Such an
-- identity is not linked again because the provider vouches for the address.

-- +goose Up
CREATE TABLE unlinked_identities (
    user_id     uuid        NOT NULL REFERENCES users,
    issuer      text        NOT NULL,
    subject     text        NOT NULL,
    unlinked_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, issuer, subject)
);
