-- The server that sends the events of a webhook (docs/architecture.md, "Sending webhooks").
-- The columns lease_until and lease_token of deliveries are those of older programs.

-- +goose Up
CREATE TABLE webhook_leases (
    -- It does not reference the webhook, which can be deleted while attempts are in flight.
    webhook_id uuid        NOT NULL PRIMARY KEY,
    token      uuid        NOT NULL,
    claims     bigint      NOT NULL,
    until_at   timestamptz NOT NULL
) WITH (fillfactor = 25, autovacuum_vacuum_scale_factor = 0.02);

-- Whether the last attempt that ended succeeded, and how often pending deliveries were ended.
ALTER TABLE webhooks ADD COLUMN proven boolean NOT NULL DEFAULT false;
ALTER TABLE webhooks ADD COLUMN edition bigint NOT NULL DEFAULT 0;
