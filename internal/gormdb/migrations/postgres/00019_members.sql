-- What an account records of a person is the account's own: the address as it
-- was typed there, the names and the language. accepted_at is null until the
-- person accepts the membership; until then it gives no rights.
--
-- A row of users is from now on one of two things. The row whose email_folded
-- is the folded address is the person who signs in. A row whose email_folded is
-- its own id is the record of one account: it has an id of its own, so that
-- neither the id nor its age tells whether another account knows the person.
-- Rows from before are both. account_users.email_folded connects the two.

-- +goose Up
ALTER TABLE account_users ADD COLUMN email_folded text;
ALTER TABLE account_users ADD COLUMN first_name text NOT NULL DEFAULT '';
ALTER TABLE account_users ADD COLUMN last_name text NOT NULL DEFAULT '';
ALTER TABLE account_users ADD COLUMN locale text NOT NULL DEFAULT '';
ALTER TABLE account_users ADD COLUMN accepted_at timestamptz;
UPDATE account_users AS m SET email_folded = u.email_folded, first_name = u.first_name, last_name = u.last_name, locale = u.locale,
    accepted_at = m.created_at
    FROM users AS u WHERE u.id = m.user_id;
CREATE UNIQUE INDEX account_users_address ON account_users (email_folded, account_id);

-- Who signed in: the person, or the record of the account if a password of the
-- account's was used. Null is the user of the session.
ALTER TABLE sessions ADD COLUMN person_id uuid REFERENCES users;
CREATE INDEX sessions_person ON sessions (person_id) WHERE ended_at IS NULL;

-- The previous program names none of these columns. What it adds is what it
-- was: a membership that needs no acceptance.
-- +goose StatementBegin
CREATE FUNCTION complete_account_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT u.email_folded, u.first_name, u.last_name, u.locale INTO NEW.email_folded, NEW.first_name, NEW.last_name, NEW.locale
        FROM users AS u WHERE u.id = NEW.user_id;
    NEW.accepted_at := NEW.created_at;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER account_users_complete BEFORE INSERT ON account_users
    FOR EACH ROW WHEN (NEW.email_folded IS NULL) EXECUTE FUNCTION complete_account_user();
