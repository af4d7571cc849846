-- What had been credited of the charge that a change or an end takes back, in minor
-- units: both together never credit more than the charge. preview is the digest of
-- what a change with the moment of a preview costs.

-- +goose Up
ALTER TABLE subscription_terms ADD COLUMN credited bigint NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN end_credited bigint NOT NULL DEFAULT 0;
ALTER TABLE checkout_items ADD COLUMN preview bytea;
-- The checkouts of a partner, and those for a merchant, that may still be open.
CREATE INDEX checkouts_open ON checkouts (partner_id, expires_at) WHERE state = 'OPEN';
CREATE INDEX checkouts_waiting ON checkouts (account_id, expires_at) WHERE state = 'OPEN';
