-- What identity providers record over SCIM: the external IDs and default roles of
-- groups, which are stores, the API token that last provisioned a user, and for the
-- control panel the last request of each account and its last failed ones.

-- +goose Up
ALTER TABLE account_users ADD COLUMN provisioned_by TEXT;

ALTER TABLE stores ADD COLUMN external_id TEXT;
ALTER TABLE stores ADD COLUMN default_role TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX stores_external ON stores (external_id, account_id) WHERE external_id IS NOT NULL;

-- members_revision changes whenever a user is added to the store or removed from it.
-- It is a part of a group's entity tag, so that no request reads all members for one.
ALTER TABLE stores ADD COLUMN members_revision INTEGER NOT NULL DEFAULT 0;

-- +goose StatementBegin
CREATE TRIGGER store_users_added AFTER INSERT ON store_users BEGIN
    UPDATE stores SET members_revision = members_revision + 1 WHERE account_id = NEW.account_id AND id = NEW.store_id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER store_users_removed AFTER DELETE ON store_users BEGIN
    UPDATE stores SET members_revision = members_revision + 1 WHERE account_id = OLD.account_id AND id = OLD.store_id;
END;
-- +goose StatementEnd

-- The last request of each account.
CREATE TABLE provisioning (
    account_id TEXT    NOT NULL PRIMARY KEY REFERENCES accounts,
    at         INTEGER NOT NULL,
    token_id   TEXT    NOT NULL,
    method     TEXT    NOT NULL,
    resource   TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    status     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The last failed requests of each account, of which a bounded number is kept.
CREATE TABLE provisioning_failures (
    account_id TEXT    NOT NULL REFERENCES accounts,
    id         TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    token_id   TEXT    NOT NULL,
    method     TEXT    NOT NULL,
    resource   TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    status     INTEGER NOT NULL,
    detail     TEXT    NOT NULL,
    request_id TEXT    NOT NULL,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;
