-- Passwords that accounts choose for an address share a salt, so that the same
-- text has the same hash. password_id tells one setting of a password from another
-- of the same text. Null is a password that was set before there were ids.

-- +goose Up
ALTER TABLE users ADD COLUMN password_id uuid;
