-- Webhooks: endpoints of an account that receive its events (docs/webhooks.md).

-- +goose Up
CREATE TABLE webhooks (
    account_id          TEXT    NOT NULL REFERENCES accounts (id),
    id                  TEXT    NOT NULL UNIQUE,
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

CREATE INDEX webhooks_failing ON webhooks (failing_since) WHERE failing_since IS NOT NULL;

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
-- event would fail if the webhook is deleted meanwhile. A delivery without a webhook
-- is never sent, and is pruned.
CREATE TABLE deliveries (
    account_id  TEXT    NOT NULL,
    webhook_id  TEXT    NOT NULL,
    event_id    TEXT    NOT NULL,
    -- Those of the event: deliveries of one subject are attempted in this order.
    subject     TEXT    NOT NULL,
    sequence    INTEGER NOT NULL,
    state       TEXT    NOT NULL DEFAULT 'PENDING',
    -- attempts counts those since the delivery was scheduled, for its retries, and
    -- numbered counts all.
    attempts    INTEGER NOT NULL DEFAULT 0,
    numbered    INTEGER NOT NULL DEFAULT 0,
    -- A pending delivery is due from next_at on. While it is leased that is the end of
    -- the lease. If an earlier delivery of the subject is pending, it is when to look
    -- again, unless the earlier one ends before (gormdb/queue.go).
    next_at     INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    lease_until INTEGER,
    lease_token TEXT,
    -- When the delivery was scheduled, for the first time or again.
    created_at  INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    PRIMARY KEY (account_id, webhook_id, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (webhook_id, next_at, event_id) WHERE state = 'PENDING';
CREATE INDEX deliveries_leased ON deliveries (webhook_id, lease_until) WHERE lease_token IS NOT NULL;
CREATE INDEX deliveries_subject ON deliveries (webhook_id, subject, sequence, event_id) WHERE state = 'PENDING';
CREATE INDEX deliveries_created ON deliveries (state, created_at);

-- One request of a delivery. number counts all of a delivery's attempts. It does
-- not reference the delivery, since it is inserted with a change of the delivery and
-- deleted with it.
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
    PRIMARY KEY (account_id, webhook_id, event_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_webhook ON attempts (account_id, webhook_id, at);
CREATE INDEX attempts_at ON attempts (at);

-- Events of a time, for replays.
CREATE INDEX audit_events_at ON audit_events (at);
