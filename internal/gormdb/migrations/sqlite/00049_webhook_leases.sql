-- The server that sends the events of a webhook (docs/architecture.md, "Sending webhooks").
-- The columns lease_until and lease_token of deliveries are those of older programs.

-- +goose Up
CREATE TABLE webhook_leases (
    -- It does not reference the webhook, which can be deleted while attempts are in flight.
    webhook_id TEXT    NOT NULL PRIMARY KEY,
    token      TEXT    NOT NULL,
    claims     INTEGER NOT NULL,
    until_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Whether the last attempt that ended succeeded, and how often pending deliveries were ended.
ALTER TABLE webhooks ADD COLUMN proven INTEGER NOT NULL DEFAULT 0;
ALTER TABLE webhooks ADD COLUMN edition INTEGER NOT NULL DEFAULT 0;
