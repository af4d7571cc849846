-- Webhooks: endpoints of an account that receive its events (docs/webhooks.md).

-- +goose Up
CREATE TABLE webhooks (
    account_id          uuid        NOT NULL REFERENCES accounts (id),
    id                  uuid        NOT NULL,
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
-- event would wait for whoever has locked the webhook, and fail if the webhook is
-- deleted meanwhile. A delivery without a webhook is never sent, and deleted with
-- its age.
CREATE TABLE deliveries (
    account_id  uuid        NOT NULL,
    webhook_id  uuid        NOT NULL,
    event_id    uuid        NOT NULL,
    -- Those of the event: deliveries of one subject are attempted in this order.
    subject     text        NOT NULL,
    sequence    bigint      NOT NULL,
    state       text        NOT NULL DEFAULT 'PENDING',
    -- attempts counts those since the delivery was scheduled, for its retries.
    attempts    bigint      NOT NULL DEFAULT 0,
    next_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until timestamptz,
    lease_token uuid,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (account_id, webhook_id, event_id)
);
CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state = 'PENDING';
CREATE INDEX deliveries_subject ON deliveries (account_id, webhook_id, subject, sequence) WHERE state = 'PENDING';
CREATE INDEX deliveries_created ON deliveries (created_at);

-- One request of a delivery. number counts all of a delivery's attempts.
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
    PRIMARY KEY (account_id, webhook_id, event_id, number),
    FOREIGN KEY (account_id, webhook_id, event_id) REFERENCES deliveries (account_id, webhook_id, event_id)
        ON DELETE CASCADE
);
CREATE INDEX attempts_at ON attempts (account_id, webhook_id, at);
