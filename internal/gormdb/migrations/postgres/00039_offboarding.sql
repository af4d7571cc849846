-- Deactivated memberships, and what happens to the API tokens whose secrets a user
-- knows when the user is removed or deactivated. A membership with a time in
-- deactivated_at gives no rights; its places in stores stay. Programs of the previous
-- version do not read the column (docs/upgrading.md).

-- +goose Up
ALTER TABLE account_users ADD COLUMN deactivated_at timestamptz;
ALTER TABLE accounts ADD COLUMN offboarding_policy text NOT NULL DEFAULT 'KEEP_TOKENS';
