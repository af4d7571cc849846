-- What the server keeps when it removes old rows (docs/retention.md), and indexes by which it finds them.

-- +goose Up

-- What later events continue after the earlier ones were removed: the last number of each subject whose events were all
-- removed. The row with an empty kind is the last event of the account's log that was removed.
CREATE TABLE audit_removed (
    account_id  uuid   NOT NULL,
    target_kind text   NOT NULL,
    target_key  text   NOT NULL,
    sequence    bigint NOT NULL,
    era         bigint NOT NULL,
    position    xid8   NOT NULL,
    event_id    uuid   NOT NULL,
    PRIMARY KEY (account_id, target_kind, target_key)
);

-- The users to whom API tokens gave rights, from events that were removed.
CREATE TABLE granted_users (
    account_id uuid NOT NULL,
    token_id   uuid NOT NULL,
    user_id    uuid NOT NULL,
    PRIMARY KEY (account_id, token_id, user_id)
);

-- The one server that removes old rows.
CREATE TABLE retention_lease (
    id       bigint      NOT NULL PRIMARY KEY CHECK (id = 1),
    holder   uuid        NOT NULL,
    until_at timestamptz NOT NULL
);

CREATE INDEX api_tokens_revoked ON api_tokens (revoked_at, account_id, id) WHERE revoked_at IS NOT NULL;
CREATE INDEX api_tokens_expired ON api_tokens (expires_at, account_id, id)
    WHERE expires_at IS NOT NULL AND revoked_at IS NULL;
CREATE INDEX access_tokens_expired ON access_tokens (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX sessions_expired ON sessions (expires_at);
CREATE INDEX audit_checkpoints_pruned ON audit_checkpoints (signature_key) WHERE pruned;
