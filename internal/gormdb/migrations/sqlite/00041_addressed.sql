-- When a member's address, or its spelling, was last changed. Mails to a person go to the
-- spelling that was recorded first, in any account, and a change counts from the time when
-- it was made. Null means created_at.

-- +goose Up
ALTER TABLE account_users ADD COLUMN addressed_at INTEGER;
