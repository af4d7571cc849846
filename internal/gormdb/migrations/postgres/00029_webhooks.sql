-- Webhooks: endpoints of an account that receive its events (docs/webhooks.md).

-- +goose Up
CREATE TABLE webhooks (
    account_id          uuid        NOT NULL REFERENCES accounts (id),
    id                  uuid        NOT NULL UNIQUE,
    -- EVENT_BRIDGE: the url is the ARN of an event source of an app, and there is no
    -- secret. Such webhooks are in no list of webhooks.
    kind                text        NOT NULL DEFAULT 'HTTP',
    url                 text        NOT NULL,
    description         text        NOT NULL,
    -- Event types and patterns such as api_token.*, separated by spaces.
    types               text        NOT NULL,
    state               text        NOT NULL,
    state_reason        text        NOT NULL,
    created_at          timestamptz NOT NULL,
    created_by_kind     text        NOT NULL,
    created_by_id       uuid,
    created_by_name     text        NOT NULL,
    -- Signing secrets, sealed with a server key. The previous one signs too until
    -- it expires.
    secret              bytea       NOT NULL,
    secret_key          text        NOT NULL,
    secret_hint         text        NOT NULL,
    previous            bytea,
    previous_key        text,
    previous_hint       text,
    previous_expires_at timestamptz,
    -- Health: attempts that failed since the last success, when the first of them
    -- failed, and whether webhook.failing was recorded.
    failures            bigint      NOT NULL DEFAULT 0,
    failing_since       timestamptz,
    failing_reported    boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (account_id, id)
);

CREATE INDEX webhooks_failing ON webhooks (failing_since) WHERE failing_since IS NOT NULL;

-- The types of the webhooks that are not disabled. What inserts an event reads
-- them to insert its deliveries.
CREATE TABLE webhook_types (
    account_id uuid NOT NULL,
    type       text NOT NULL,
    webhook_id uuid NOT NULL,
    PRIMARY KEY (account_id, type, webhook_id),
    FOREIGN KEY (account_id, webhook_id) REFERENCES webhooks (account_id, id) ON DELETE CASCADE
);

-- One event for one webhook. It does not reference the webhook: what inserts an
-- event would wait for the lock on the webhook, and fail if the webhook is
-- deleted meanwhile. A delivery without a webhook is never sent, and is pruned.
CREATE TABLE deliveries (
    account_id  uuid        NOT NULL,
    webhook_id  uuid        NOT NULL,
    event_id    uuid        NOT NULL,
    -- Those of the event: deliveries of one subject are attempted in this order.
    subject     text        NOT NULL,
    sequence    bigint      NOT NULL,
    state       text        NOT NULL DEFAULT 'PENDING',
    -- attempts counts those since the delivery was scheduled, for its retries, and
    -- numbered counts all.
    attempts    bigint      NOT NULL DEFAULT 0,
    numbered    bigint      NOT NULL DEFAULT 0,
    -- A pending delivery is due from next_at on. While it is leased that is the end of
    -- the lease. If an earlier delivery of the subject is pending, it is when to look
    -- again, unless the earlier one ends before (gormdb/queue.go).
    next_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until timestamptz,
    lease_token uuid,
    -- When the delivery was scheduled, for the first time or again.
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (account_id, webhook_id, event_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX deliveries_due ON deliveries (webhook_id, next_at, event_id) WHERE state = 'PENDING';
CREATE INDEX deliveries_leased ON deliveries (webhook_id, lease_until) WHERE lease_token IS NOT NULL;
CREATE INDEX deliveries_subject ON deliveries (webhook_id, subject, sequence, event_id) WHERE state = 'PENDING';
CREATE INDEX deliveries_created ON deliveries (state, created_at);

-- One request of a delivery. number counts all of a delivery's attempts. It does
-- not reference the delivery, since it is inserted with a change of the delivery and
-- deleted with it.
CREATE TABLE attempts (
    account_id    uuid        NOT NULL,
    webhook_id    uuid        NOT NULL,
    event_id      uuid        NOT NULL,
    number        bigint      NOT NULL,
    at            timestamptz NOT NULL,
    status        bigint      NOT NULL,
    duration_ms   bigint      NOT NULL,
    error         text        NOT NULL,
    response_head text        NOT NULL,
    PRIMARY KEY (account_id, webhook_id, event_id, number)
);
CREATE INDEX attempts_webhook ON attempts (account_id, webhook_id, at);
CREATE INDEX attempts_at ON attempts (at);

-- Events of a time, for replays.
CREATE INDEX audit_events_at ON audit_events USING brin (at) WITH (autosummarize = on);
