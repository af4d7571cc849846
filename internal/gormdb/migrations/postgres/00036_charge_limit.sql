-- The most that an API token may charge in a calendar month (UTC), in minor units of
-- the currency. Null, as for all tokens so far, is no limit.

-- +goose Up
ALTER TABLE api_tokens ADD COLUMN charge_limit bigint;
ALTER TABLE api_tokens ADD COLUMN charge_limit_currency text;
