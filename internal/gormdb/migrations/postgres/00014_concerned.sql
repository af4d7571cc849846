-- What a change concerns, where that is less than the account: an API token.
-- Programs that do not know of it forget the whole account, which is safe.

-- +goose Up
ALTER TABLE changes ADD COLUMN concerned_id uuid;
