-- Webhooks: endpoints of an account that receive its events (docs/webhooks.md).

-- +goose Up
CREATE TABLE webhooks (
    account_id          TEXT    NOT NULL REFERENCES accounts (id),
    id                  TEXT    NOT NULL,
    -- EVENT_BRIDGE: the url is the ARN of an event source of an app, and there is no
    -- secret. Such webhooks are in no list of webhooks.
    kind                TEXT    NOT NULL DEFAULT 'HTTP',
    url                 TEXT    NOT NULL,
    description         TEXT    NOT NULL,
    -- Event types and patterns such as api_token.*, separated by spaces.
    types               TEXT    NOT NULL,
    state               TEXT    NOT NULL,
    state_reason        TEXT    NOT NULL,
    created_at          INTEGER NOT NULL,
    created_by_kind     TEXT    NOT NULL,
    created_by_id       TEXT,
    created_by_name     TEXT    NOT NULL,
    -- Signing secrets, sealed with a server key. The previous one signs too until
    -- it expires.
    secret              BLOB    NOT NULL,
    secret_key          TEXT    NOT NULL,
    secret_hint         TEXT    NOT NULL,
    previous            BLOB,
    previous_key        TEXT,
    previous_hint       TEXT,
    previous_expires_at INTEGER,
    -- Health: attempts that failed since the last success, when the first of them
    -- failed, and whether webhook.failing was recorded.
    failures            INTEGER NOT NULL DEFAULT 0,
    failing_since       INTEGER,
    failing_reported    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;

-- The types of the webhooks that are not disabled. What inserts an event reads
-- them to insert its deliveries.
CREATE TABLE webhook_types (
    account_id TEXT NOT NULL,
    type       TEXT NOT NULL,
    webhook_id TEXT NOT NULL,
    PRIMARY KEY (account_id, type, webhook_id),
    FOREIGN KEY (account_id, webhook_id) REFERENCES webhooks (account_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- One event for one webhook. It does not reference the webhook: what inserts an
-- event would wait for whoever has locked the webhook, and fail if the webhook is
-- deleted meanwhile. A delivery without a webhook is never sent, and deleted with
-- its age.
CREATE TABLE deliveries (
    account_id  TEXT    NOT NULL,
    webhook_id  TEXT    NOT NULL,
    event_id    TEXT    NOT NULL,
    -- Those of the event: deliveries of one subject are attempted in this order.
    subject     TEXT    NOT NULL,
    sequence    INTEGER NOT NULL,
    state       TEXT    NOT NULL DEFAULT 'PENDING',
    -- attempts counts those since the delivery was scheduled, for its retries.
    attempts    INTEGER NOT NULL DEFAULT 0,
    next_at     INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER,
    lease_token TEXT,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (account_id, webhook_id, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state = 'PENDING';
CREATE INDEX deliveries_subject ON deliveries (account_id, webhook_id, subject, sequence) WHERE state = 'PENDING';
CREATE INDEX deliveries_created ON deliveries (created_at);

-- One request of a delivery. number counts all of a delivery's attempts.
CREATE TABLE attempts (
    account_id    TEXT    NOT NULL,
    webhook_id    TEXT    NOT NULL,
    event_id      TEXT    NOT NULL,
    number        INTEGER NOT NULL,
    at            INTEGER NOT NULL,
    status        INTEGER NOT NULL,
    duration_ms   INTEGER NOT NULL,
    error         TEXT    NOT NULL,
    response_head TEXT    NOT NULL,
    PRIMARY KEY (account_id, webhook_id, event_id, number),
    FOREIGN KEY (account_id, webhook_id, event_id) REFERENCES deliveries (account_id, webhook_id, event_id)
        ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_at ON attempts (account_id, webhook_id, at);
