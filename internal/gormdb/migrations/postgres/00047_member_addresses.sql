-- The address of a member as it is written, also in the membership, so that reading members
-- of an account needs no row of users. It is always the one in users. The next migration
-- fills it in for existing members: this one locks the table, and must be short.

-- +goose Up
ALTER TABLE account_users ADD COLUMN email text NOT NULL DEFAULT '';

-- The previous program does not name the column.
-- +goose StatementBegin
CREATE FUNCTION complete_member_address() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.email := coalesce((SELECT u.email FROM users AS u WHERE u.id = NEW.user_id), '');
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER account_users_email BEFORE INSERT ON account_users
    FOR EACH ROW WHEN (NEW.email = '') EXECUTE FUNCTION complete_member_address();

-- +goose StatementBegin
CREATE FUNCTION change_member_addresses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE account_users SET email = NEW.email WHERE user_id = NEW.id;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER users_email AFTER UPDATE OF email ON users
    FOR EACH ROW WHEN (OLD.email <> NEW.email) EXECUTE FUNCTION change_member_addresses();
