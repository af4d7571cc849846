-- Event sources of apps: partner event sources in Amazon EventBridge
-- (docs/webhooks.md). The webhook of the same id sends events to it.

-- +goose Up
CREATE TABLE event_sources (
    account_id   TEXT    NOT NULL REFERENCES accounts (id),
    id           TEXT    NOT NULL,
    app_id       INTEGER NOT NULL REFERENCES apps (id),
    aws_account  TEXT    NOT NULL,
    region       TEXT    NOT NULL,
    -- The name in Amazon EventBridge: aws.partner/PARTNER/APP/NAME.
    partner_name TEXT    NOT NULL,
    -- Empty while the state is CREATING.
    arn          TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (account_id, id),
    UNIQUE (region, partner_name)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_sources_app ON event_sources (account_id, app_id, id);
