-- Whether the operator was shown a link. Where passwords are turned off, only
-- such a link signs anybody in; of those made before this, none does.

-- +goose Up
ALTER TABLE links ADD COLUMN by_operator INTEGER NOT NULL DEFAULT 0;
