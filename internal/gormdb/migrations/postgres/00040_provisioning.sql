-- What identity providers record over SCIM: the external IDs and default roles of
-- groups, which are stores, the API token that last provisioned a user, and for the
-- control panel the last request of each account and its last failed ones.

-- +goose Up
ALTER TABLE account_users ADD COLUMN provisioned_by uuid;

ALTER TABLE stores ADD COLUMN external_id text;
ALTER TABLE stores ADD COLUMN default_role text NOT NULL DEFAULT '';
CREATE UNIQUE INDEX stores_external ON stores (external_id, account_id) WHERE external_id IS NOT NULL;

-- members_revision changes whenever a user is added to the store or removed from it.
-- It is a part of a group's entity tag, so that no request reads all members for one.
ALTER TABLE stores ADD COLUMN members_revision bigint NOT NULL DEFAULT 0;

-- +goose StatementBegin
CREATE FUNCTION revise_store_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE stores SET members_revision = members_revision + 1
        FROM (SELECT DISTINCT account_id, store_id FROM changed) AS c
        WHERE stores.account_id = c.account_id AND stores.id = c.store_id;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER store_users_added AFTER INSERT ON store_users
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION revise_store_members();
CREATE TRIGGER store_users_removed AFTER DELETE ON store_users
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION revise_store_members();

-- The last request of each account.
CREATE TABLE provisioning (
    account_id uuid        NOT NULL PRIMARY KEY REFERENCES accounts,
    at         timestamptz NOT NULL,
    token_id   uuid        NOT NULL,
    method     text        NOT NULL,
    resource   text        NOT NULL,
    subject    text        NOT NULL,
    status     bigint      NOT NULL
);

-- The last failed requests of each account, of which a bounded number is kept.
CREATE TABLE provisioning_failures (
    account_id uuid        NOT NULL REFERENCES accounts,
    id         uuid        NOT NULL,
    at         timestamptz NOT NULL,
    token_id   uuid        NOT NULL,
    method     text        NOT NULL,
    resource   text        NOT NULL,
    subject    text        NOT NULL,
    status     bigint      NOT NULL,
    detail     text        NOT NULL,
    request_id text        NOT NULL,
    PRIMARY KEY (account_id, id)
);
