-- The address of a member as it is written, also in the membership, so that reading members
-- of an account needs no row of users. It is always the one in users.

-- +goose Up
ALTER TABLE account_users ADD COLUMN email TEXT NOT NULL DEFAULT '';
UPDATE account_users SET email = coalesce((SELECT u.email FROM users AS u WHERE u.id = account_users.user_id), '');

-- The previous program does not name the column.
-- +goose StatementBegin
CREATE TRIGGER account_users_email AFTER INSERT ON account_users WHEN NEW.email = '' BEGIN
    UPDATE account_users SET email = coalesce((SELECT u.email FROM users AS u WHERE u.id = NEW.user_id), '')
        WHERE account_id = NEW.account_id AND user_id = NEW.user_id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER users_email AFTER UPDATE OF email ON users WHEN OLD.email <> NEW.email BEGIN
    UPDATE account_users SET email = NEW.email WHERE user_id = NEW.id;
END;
-- +goose StatementEnd
