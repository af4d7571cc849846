-- What the Users API keeps of people: their passwords, and of their place in
-- an account the id that another system knows them by, and when anything there
-- changed last. How many people an account has is counted as they come and
-- go, since to count a million takes too long to do at every request.

-- +goose Up
-- A password as an argon2id hash in PHC's form; null where there is none.
ALTER TABLE users ADD COLUMN password_hash text;

ALTER TABLE account_users ADD COLUMN external_id text;
ALTER TABLE account_users ADD COLUMN updated_at integer NOT NULL DEFAULT 0;
UPDATE account_users SET updated_at = created_at;
CREATE UNIQUE INDEX account_users_external ON account_users (account_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX account_users_updated ON account_users (account_id, updated_at);
CREATE INDEX account_users_person ON account_users (user_id);
CREATE INDEX store_users_person ON store_users (account_id, user_id, id);

-- Who saw the secret: the person who created or rotated, if it was one.
ALTER TABLE access_tokens ADD COLUMN seen_by text;
UPDATE access_tokens SET seen_by = (SELECT t.created_by_id FROM api_tokens AS t
    WHERE t.account_id = access_tokens.account_id AND t.id = access_tokens.api_token_id AND t.created_by_kind = 'USER');

ALTER TABLE accounts ADD COLUMN user_count integer NOT NULL DEFAULT 0;
UPDATE accounts SET user_count = (SELECT count(*) FROM account_users AS m WHERE m.account_id = accounts.id);

-- +goose StatementBegin
CREATE TRIGGER account_users_added AFTER INSERT ON account_users BEGIN
    UPDATE accounts SET user_count = user_count + 1 WHERE id = NEW.account_id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER account_users_removed AFTER DELETE ON account_users BEGIN
    UPDATE accounts SET user_count = user_count - 1 WHERE id = OLD.account_id;
END;
-- +goose StatementEnd
