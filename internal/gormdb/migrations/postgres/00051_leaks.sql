-- What happens to an API token when a secret of it is reported as leaked, and an index by
-- which reports of client secrets find them.

-- +goose Up
ALTER TABLE accounts ADD COLUMN leak_policy text NOT NULL DEFAULT 'REVOKE';
CREATE INDEX api_tokens_client_secret ON api_tokens (client_secret_digest);
