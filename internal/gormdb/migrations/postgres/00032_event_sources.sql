-- Event sources of apps: partner event sources in Amazon EventBridge
-- (docs/webhooks.md). The webhook of the same id sends events to it.

-- +goose Up
CREATE TABLE event_sources (
    account_id   uuid        NOT NULL REFERENCES accounts (id),
    id           uuid        NOT NULL,
    app_id       bigint      NOT NULL REFERENCES apps (id),
    aws_account  text        NOT NULL,
    region       text        NOT NULL,
    -- The name in Amazon EventBridge: aws.partner/PARTNER/APP/NAME.
    partner_name text        NOT NULL,
    -- Empty while the state is CREATING.
    arn          text        NOT NULL,
    state        text        NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (account_id, id),
    UNIQUE (region, partner_name)
);
CREATE INDEX event_sources_app ON event_sources (account_id, app_id, id);
