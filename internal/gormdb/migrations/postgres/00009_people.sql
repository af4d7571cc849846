-- What the Users API keeps of people: their passwords, and of their place in
-- an account the id that another system knows them by, and when anything there
-- changed last. How many people an account has is counted as they come and
-- go, since to count a million takes too long to do at every request.

-- +goose Up
-- A password as an argon2id hash in PHC's form; null where there is none.
ALTER TABLE users ADD COLUMN password_hash text;

ALTER TABLE account_users ADD COLUMN external_id text;
ALTER TABLE account_users ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
UPDATE account_users SET updated_at = created_at;
CREATE UNIQUE INDEX account_users_external ON account_users (account_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX account_users_updated ON account_users (account_id, updated_at);
CREATE INDEX account_users_person ON account_users (user_id);
CREATE INDEX store_users_person ON store_users (account_id, user_id, id);

-- Who saw the secret: the person who created or rotated, if it was one.
ALTER TABLE access_tokens ADD COLUMN seen_by uuid;
UPDATE access_tokens AS x SET seen_by = t.created_by_id FROM api_tokens AS t
    WHERE t.account_id = x.account_id AND t.id = x.api_token_id AND t.created_by_kind = 'USER';

ALTER TABLE accounts ADD COLUMN user_count bigint NOT NULL DEFAULT 0;
UPDATE accounts SET user_count = (SELECT count(*) FROM account_users AS m WHERE m.account_id = accounts.id);

-- +goose StatementBegin
CREATE FUNCTION count_account_users() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE accounts SET user_count = user_count + CASE TG_OP WHEN 'INSERT' THEN c.n ELSE -c.n END
        FROM (SELECT account_id, count(*) AS n FROM changed GROUP BY account_id) AS c WHERE accounts.id = c.account_id;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER account_users_added AFTER INSERT ON account_users
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_account_users();
CREATE TRIGGER account_users_removed AFTER DELETE ON account_users
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_account_users();
