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
ALTER TABLE account_users ADD COLUMN email_folded TEXT;
ALTER TABLE account_users ADD COLUMN first_name TEXT NOT NULL DEFAULT '';
ALTER TABLE account_users ADD COLUMN last_name TEXT NOT NULL DEFAULT '';
ALTER TABLE account_users ADD COLUMN locale TEXT NOT NULL DEFAULT '';
ALTER TABLE account_users ADD COLUMN accepted_at INTEGER;
UPDATE account_users SET accepted_at = created_at, (email_folded, first_name, last_name, locale) =
    (SELECT u.email_folded, u.first_name, u.last_name, u.locale FROM users AS u WHERE u.id = account_users.user_id);
CREATE UNIQUE INDEX account_users_address ON account_users (email_folded, account_id);

-- Who signed in: the person, or the record of the account if a password of the
-- account's was used. Null is the user of the session.
ALTER TABLE sessions ADD COLUMN person_id TEXT REFERENCES users;
CREATE INDEX sessions_person ON sessions (person_id) WHERE ended_at IS NULL;

-- The previous program names none of these columns. What it adds is what it
-- was: a membership that needs no acceptance.
-- +goose StatementBegin
CREATE TRIGGER account_users_complete AFTER INSERT ON account_users WHEN NEW.email_folded IS NULL BEGIN
    UPDATE account_users SET accepted_at = NEW.created_at, (email_folded, first_name, last_name, locale) =
        (SELECT u.email_folded, u.first_name, u.last_name, u.locale FROM users AS u WHERE u.id = NEW.user_id)
        WHERE account_id = NEW.account_id AND user_id = NEW.user_id;
END;
-- +goose StatementEnd
