-- When an access token was ended at once: a fact, which needs no clock to be
-- judged by. expires_at is for an end that is yet to come.

-- +goose Up
ALTER TABLE access_tokens ADD COLUMN ended_at timestamptz;
